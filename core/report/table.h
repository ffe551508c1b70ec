// Tables: what every report format shows, with cells that know whether they are numbers.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace postnas {

/// Nothing, a text (untrusted: each writer escapes it), a whole number, or a number (NaN shows as nothing).
using Cell = std::variant<std::monostate, std::string, std::int64_t, double>;

struct Table {
    std::string name;  ///< "candidates": how it is asked for
    std::string title; ///< "Evaluated placements"
    std::vector<std::string> columns;
    std::vector<std::vector<Cell>> rows; ///< each as long as `columns`
    std::vector<bool> shaded;            ///< columns that HTML shades by value, from the lowest to the highest; may be shorter
};

/// A cell as text: numbers with up to `digits` significant digits and a point; empty for nothing.
std::string cellText(const Cell& cell, int digits = 10);

/// RFC 4180: CRLF line ends, quotes where needed. A text that a spreadsheet would take for a formula (beginning with
/// = + - @, tab or carriage return, also after blanks) gets a leading apostrophe.
std::string csvTable(const Table& table);

/// A Markdown table; whatever means something in Markdown or HTML is escaped.
std::string markdownTable(const Table& table);
std::string escapeMarkdown(const std::string& text);

/// An HTML table; every text is escaped.
std::string htmlTable(const Table& table);
std::string escapeHtml(const std::string& text);

} // namespace postnas
