// Swaps the colour that outlines are made from.
#include "widgets/theme/outline_style.h"

#include <QStyleFactory>
#include <QStyleOption>

#include "widgets/theme/theme.h"

namespace postnas {
namespace {

/// A copy of the option whose outlines show, when it is of this type and dark.
template <class Option> bool lighten(const QStyleOption* option, Option& copy)
{
    const auto* typed = qstyleoption_cast<const Option*>(option);
    if (typed == nullptr || !ThemeColours::of(typed->palette).dark)
        return false;
    copy = *typed;
    // Fusion divides by 1.4; what comes out has three times the contrast of the field inside.
    copy.palette.setColor(QPalette::Window, QColor(0x8999ab));
    return true;
}

} // namespace

OutlineStyle::OutlineStyle() : QProxyStyle(QStyleFactory::create(QStringLiteral("Fusion"))) { }

void OutlineStyle::drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter, const QWidget* widget) const
{
    QStyleOptionButton button;
    QStyleOptionFrame frame;
    const bool isButton = element == PE_IndicatorCheckBox || element == PE_IndicatorRadioButton || element == PE_PanelButtonCommand;
    if (isButton && lighten(option, button))
        option = &button;
    else if (element == PE_FrameLineEdit && lighten(option, frame))
        option = &frame;
    QProxyStyle::drawPrimitive(element, option, painter, widget);
}

void OutlineStyle::drawComplexControl(ComplexControl control, const QStyleOptionComplex* option, QPainter* painter, const QWidget* widget) const
{
    QStyleOptionComboBox combo;
    QStyleOptionSpinBox spin;
    if (control == CC_ComboBox && lighten(option, combo))
        option = &combo;
    else if (control == CC_SpinBox && lighten(option, spin))
        option = &spin;
    QProxyStyle::drawComplexControl(control, option, painter, widget);
}

} // namespace postnas
