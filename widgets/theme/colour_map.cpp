// Tables of the colour maps, 33 support points each, interpolated linearly in sRGB as their authors do.
#include "widgets/theme/colour_map.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace postnas {

namespace {

using Table = std::array<std::uint32_t, 33>;

constexpr Table kCividis {0x00224e, 0x00285b, 0x002e6a, 0x053371, 0x1a386f, 0x273e6e, 0x32436d, 0x3b496c, 0x434e6c,
                          0x4b546c, 0x535a6d, 0x5a5f6e, 0x61656f, 0x686a71, 0x6f7073, 0x767676, 0x7d7c78, 0x848279,
                          0x8c8878, 0x938e78, 0x9b9476, 0xa39a74, 0xaba072, 0xb4a76f, 0xbcae6c, 0xc4b468, 0xcdbb63,
                          0xd5c25e, 0xdec958, 0xe7d150, 0xf0d846, 0xf9e03a, 0xfee838};

constexpr Table kViridis {0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453781, 0x424086, 0x3e4989, 0x3b528b,
                          0x375b8d, 0x33638d, 0x2f6b8e, 0x2c728e, 0x297a8e, 0x26828e, 0x23898e, 0x21918c, 0x1f988b,
                          0x1fa088, 0x22a785, 0x28ae80, 0x32b67a, 0x3fbc73, 0x4ec36b, 0x5ec962, 0x70cf57, 0x84d44b,
                          0x98d83e, 0xaddc30, 0xc2df23, 0xd8e219, 0xece51b, 0xfde725};

// Purple to orange (ColorBrewer PuOr, which stays apart for every common colour blindness), with a neutral middle that
// recedes into the surroundings.
constexpr std::array<std::uint32_t, 9> kDivergingLight {0x542788, 0x7a61a9, 0xa69fcb, 0xd2d0e4, 0xf4f4f4,
                                                        0xfcd9a8, 0xf5ad55, 0xd97b0f, 0xa65200};
constexpr std::array<std::uint32_t, 9> kDivergingDark {0xb9a7f0, 0x957fd2, 0x6f5da3, 0x4b426b, 0x2c2f34,
                                                       0x61461f, 0x9b6519, 0xd48a22, 0xffb85c};

template <std::size_t N>
QColor interpolate(const std::array<std::uint32_t, N>& table, double position)
{
    const double scaled = position * static_cast<double>(N - 1);
    const auto low = std::min(static_cast<std::size_t>(scaled), N - 2);
    const double share = scaled - static_cast<double>(low);
    const auto channel = [&](int shift) {
        const double a = (table[low] >> shift) & 0xff;
        const double b = (table[low + 1] >> shift) & 0xff;
        return static_cast<int>(std::lround(a + (b - a) * share));
    };
    return {channel(16), channel(8), channel(0)};
}

double luminance(const QColor& colour)
{
    const auto linear = [](double c) { return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
    return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) + 0.0722 * linear(colour.blueF());
}

} // namespace

QColor colourAt(ColourMap map, double position, bool dark)
{
    if (std::isnan(position))
        return Qt::transparent;
    position = std::clamp(position, 0.0, 1.0);
    switch (map) {
    case ColourMap::Cividis: return interpolate(kCividis, position);
    case ColourMap::Viridis: return interpolate(kViridis, position);
    case ColourMap::Diverging: break;
    }
    return interpolate(dark ? kDivergingDark : kDivergingLight, position);
}

double contrastRatio(const QColor& a, const QColor& b)
{
    const double x = luminance(a), y = luminance(b);
    return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

QColor readableOn(const QColor& background)
{
    return contrastRatio(background, Qt::white) >= contrastRatio(background, Qt::black) ? QColor(Qt::white) : QColor(Qt::black);
}

} // namespace postnas
