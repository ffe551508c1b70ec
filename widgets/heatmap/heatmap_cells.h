// What draws the cells of a HeatmapPlot.
#pragma once

#include "widgets/plots/qcustomplot.h"

namespace postnas {

class HeatmapPlot;
struct ThemeColours;

/// Between the layers and the columns "none" and "all", in columns.
inline constexpr double kHeatmapGap = 0.35;

/// A value as cells and tooltips write it, with a real minus sign; `signedForm` adds the plus. A dash for NaN.
QString heatmapNumber(double value, int decimals = 2, bool signedForm = false);

/// The plottable behind the cells; geometry and colours come from the plot. Draws vectors, which are sharp in SVG at any size.
class HeatmapCells : public QCPAbstractPlottable {
public:
    explicit HeatmapCells(HeatmapPlot* plot);

    double selectTest(const QPointF&, bool, QVariant*) const override { return -1; }
    QCPRange getKeyRange(bool& found, QCP::SignDomain domain) const override;
    QCPRange getValueRange(bool& found, QCP::SignDomain domain, const QCPRange& keys) const override;

protected:
    void draw(QCPPainter* painter) override;
    void drawLegendIcon(QCPPainter*, const QRectF&) const override { }

private:
    void drawCell(QCPPainter* painter, int task, int column, const ThemeColours& colours);
    void drawMarks(QCPPainter* painter, const ThemeColours& colours);

    HeatmapPlot* m_plot;
};

} // namespace postnas
