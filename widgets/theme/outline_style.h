// Fusion with outlines that can be seen on dark windows.
#pragma once

#include <QProxyStyle>

namespace postnas {

/// Fusion makes outlines by darkening the window's colour: on a dark window check boxes, fields and buttons lose their shape.
/// This style hands it a lighter window colour for them.
class OutlineStyle : public QProxyStyle {
public:
    OutlineStyle();

    void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter, const QWidget* widget) const override;
    void drawComplexControl(ComplexControl control, const QStyleOptionComplex* option, QPainter* painter, const QWidget* widget) const override;
};

} // namespace postnas
