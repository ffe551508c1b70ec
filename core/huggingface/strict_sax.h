// A SAX handler that refuses everything a subclass does not ask for: large untrusted JSON is checked while it is read, and
// no document tree is built on its word.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace postnas {

/// Subclasses override what they expect; every other event throws Error(Input) that names the source.
class StrictSax : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit StrictSax(std::string source)
        : m_source(std::move(source))
    {
    }

    /// Parses all of `text`; throws Error(Input) on syntax errors and invalid UTF-8.
    void parse(std::string_view text) { nlohmann::json::sax_parse(text.begin(), text.end(), this); }

    bool null() override { return unexpected("null"); }
    bool boolean(bool) override { return unexpected("a boolean"); }
    bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
    bool number_unsigned(number_unsigned_t) override { return unexpected("a number"); }
    bool number_float(number_float_t, const string_t&) override { return unexpected("a number that is no 64-bit integer"); }
    bool string(string_t&) override { return unexpected("a string"); }
    bool binary(binary_t&) override { return unexpected("binary data"); }
    bool start_object(std::size_t) override { return unexpected("an object"); }
    bool key(string_t&) override { return unexpected("a key"); }
    bool end_object() override { return unexpected("the end of an object"); }
    bool start_array(std::size_t) override { return unexpected("a list"); }
    bool end_array() override { return unexpected("the end of a list"); }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override
    {
        throw inputError(m_source + ": not valid JSON: " + e.what());
    }

protected:
    /// Where in the file the parser is, such as `tensor "x"`; begins the sentence of errors.
    virtual std::string place() const = 0;

    [[noreturn]] void fail(const std::string& problem, const std::string& hint = {}) const
    {
        throw inputError(m_source + ": " + place() + " " + problem, hint);
    }
    [[noreturn]] bool unexpected(const char* what) const { fail(std::string("must not have ") + what + " here"); }

    std::string m_source;
};

} // namespace postnas
