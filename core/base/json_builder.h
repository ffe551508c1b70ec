// Builds a JSON value from nlohmann's SAX events under the limits that untrusted files need; readers of very large files
// derive from it to take some parts for themselves.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/base/json.h"

namespace postnas {

/// Refuses duplicate keys and deep nesting with Error(Input) that names `source`. Linear in the size of the file: keys are
/// checked through hash sets, since an ordered object finds a key only by looking at all of them.
class JsonBuilder : public nlohmann::json_sax<Json> {
public:
    JsonBuilder(std::string source, int maxDepth);

    /// Feeds `text` through the parser. Throws Error(Input) on anything that is not strict JSON.
    void parse(std::string_view text);
    Json& root() { return m_root; }

    bool null() override { return add(nullptr); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override { return add(value); }
    bool number_float(number_float_t value, const string_t&) override { return add(value); }
    bool string(string_t& value) override { return add(std::move(value)); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool key(string_t& value) override;
    bool end_object() override;
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_array() override;
    bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& error) override;

protected:
    /// The keys that lead to the value that comes next; array elements have an empty key.
    const std::vector<std::string>& path() const { return m_path; }
    const std::string& source() const { return m_source; }
    [[noreturn]] void failDuplicate(const std::string& key) const;

private:
    bool add(Json value);
    bool open(Json container);

    std::string m_source;
    int m_maxDepth;
    Json m_root;
    std::vector<Json*> m_open;
    std::vector<std::unordered_set<std::string>> m_keys;
    std::vector<std::string> m_path;
};

} // namespace postnas
