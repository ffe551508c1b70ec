// Cells and tables as text.
#include "core/report/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "core/base/text.h"

namespace postnas {
namespace {

bool isNumber(const Cell& cell) { return std::holds_alternative<std::int64_t>(cell) || std::holds_alternative<double>(cell); }

double numberOf(const Cell& cell)
{
    if (const auto* whole = std::get_if<std::int64_t>(&cell))
        return static_cast<double>(*whole);
    if (const auto* real = std::get_if<double>(&cell))
        return *real;
    return std::numeric_limits<double>::quiet_NaN();
}

/// Texts come from logs and other people's files: valid UTF-8, no control or bidirectional characters.
std::string clean(const std::string& text) { return sanitizeForTerminal(text); }

std::string csvField(const Cell& cell)
{
    std::string text = cellText(cell, 17);
    if (isNumber(cell))
        return text;
    text = clean(text);
    const std::size_t first = text.find_first_not_of(" \n");
    if (first != std::string::npos && std::string_view("=+-@\t\r|%").find(text[first]) != std::string_view::npos)
        text.insert(0, "'");
    if (text.find_first_of(",\"\n\r") == std::string::npos)
        return text;
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"')
            out += '"';
        out += c;
    }
    return out + '"';
}

struct Shade {
    std::string background;
    bool dark = false;
};

/// The cividis colour map at five points (Nunez et al. 2018): even for readers with a colour-vision deficiency.
Shade shade(double part)
{
    static constexpr double kPoints[5][3] = {{0, 34, 78}, {65, 77, 107}, {124, 123, 120}, {188, 175, 111}, {253, 231, 55}};
    const double at = std::clamp(part, 0.0, 1.0) * 4;
    const int low = std::min(3, static_cast<int>(at));
    double colour[3];
    for (int c = 0; c < 3; ++c)
        colour[c] = kPoints[low][c] + (kPoints[low + 1][c] - kPoints[low][c]) * (at - low);
    char text[16];
    std::snprintf(text, sizeof text, "#%02x%02x%02x", static_cast<int>(colour[0]), static_cast<int>(colour[1]), static_cast<int>(colour[2]));
    return {text, 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 128};
}

} // namespace

std::string cellText(const Cell& cell, int digits)
{
    if (const auto* text = std::get_if<std::string>(&cell))
        return *text;
    if (const auto* whole = std::get_if<std::int64_t>(&cell))
        return std::to_string(*whole);
    if (const auto* real = std::get_if<double>(&cell); real != nullptr && std::isfinite(*real)) {
        // The shortest form that still is the same number at this many digits; %g never depends on a thousands separator.
        char buffer[64];
        for (int n = std::min(digits, 6); n <= digits; ++n) {
            std::snprintf(buffer, sizeof buffer, "%.*g", n, *real);
            if (std::stod(buffer) == *real)
                break;
        }
        std::string out = buffer;
        std::replace(out.begin(), out.end(), ',', '.');
        return out;
    }
    return {};
}

std::string csvTable(const Table& table)
{
    std::string out;
    const auto line = [&](const auto& cells) {
        for (std::size_t i = 0; i < cells.size(); ++i)
            out += (i == 0 ? "" : ",") + csvField(Cell(cells[i]));
        out += "\r\n";
    };
    line(table.columns);
    for (const auto& row : table.rows)
        line(row);
    return out;
}

std::string escapeMarkdown(const std::string& text)
{
    std::string out;
    for (const char c : clean(text)) {
        if (c == '\n' || c == '\t')
            out += ' ';
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '&')
            out += "&amp;";
        else if (std::string_view("\\`*_{}[]()#+!|~$^").find(c) != std::string_view::npos)
            out += std::string("\\") + c;
        else
            out += c;
    }
    return out;
}

std::string markdownTable(const Table& table)
{
    std::string out = "|";
    std::string rule = "|";
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        out += " " + escapeMarkdown(table.columns[i]) + " |";
        const bool number = !table.rows.empty() && isNumber(table.rows.front()[i]);
        rule += number ? "---:|" : "---|";
    }
    out += "\n" + rule + "\n";
    for (const auto& row : table.rows) {
        out += "|";
        for (const Cell& cell : row)
            out += " " + escapeMarkdown(cellText(cell, 6)) + " |";
        out += "\n";
    }
    return out;
}

std::string escapeHtml(const std::string& text)
{
    std::string out;
    for (const char c : clean(text)) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#39;"; break;
        default: out += c;
        }
    }
    return out;
}

std::string htmlTable(const Table& table)
{
    std::vector<std::pair<double, double>> ranges(table.columns.size(), {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()});
    for (const auto& row : table.rows)
        for (std::size_t i = 0; i < row.size(); ++i)
            if (const double value = numberOf(row[i]); std::isfinite(value)) {
                ranges[i].first = std::min(ranges[i].first, value);
                ranges[i].second = std::max(ranges[i].second, value);
            }
    std::string out = "<table>\n<thead><tr>";
    for (const std::string& column : table.columns)
        out += "<th scope=\"col\">" + escapeHtml(column) + "</th>";
    out += "</tr></thead>\n<tbody>\n";
    for (const auto& row : table.rows) {
        out += "<tr>";
        for (std::size_t i = 0; i < row.size(); ++i) {
            const double value = numberOf(row[i]);
            out += "<td";
            if (i < table.shaded.size() && table.shaded[i] && std::isfinite(value) && ranges[i].second > ranges[i].first) {
                const Shade s = shade((value - ranges[i].first) / (ranges[i].second - ranges[i].first));
                out += " class=\"n\" style=\"background:" + s.background + ";color:" + (s.dark ? "#fff" : "#000") + "\"";
            } else if (isNumber(row[i])) {
                out += " class=\"n\"";
            }
            out += ">" + escapeHtml(cellText(row[i], 6)) + "</td>";
        }
        out += "</tr>\n";
    }
    return out + "</tbody>\n</table>\n";
}

} // namespace postnas
