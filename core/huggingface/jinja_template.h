// The template language of chat templates and evaluation tasks: parse once, render with any variables.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/huggingface/jinja_runtime.h"
#include "core/huggingface/text_segment.h"

namespace postnas {

/// A parsed template. It is untrusted code: it can only compute text, within limits, and never reaches files, the
/// environment or the clock (but for strftime_now). Rendering is const and may run on several threads at once.
class JinjaTemplate {
public:
    /// Names and values; every value knows whether its texts are trusted.
    using Variables = std::unordered_map<std::string, JinjaValue>;

    /// `name` is what errors call the template. Throws Error(Input) naming it and the line on invalid UTF-8, syntax errors, or
    /// a source over the limit.
    static JinjaTemplate parse(std::string_view source, std::string name, const JinjaLimits& limits = {},
                               const JinjaDialect& dialect = JinjaDialect::chat());

    /// The text. `variables` is a JSON object. Throws Error(Input) naming template and line on anything the template does
    /// wrong, on its own raise_exception, and when a limit is passed.
    std::string render(const Json& variables) const;

    /// The same, cut where trust changes: text of the template is trusted, text of `variables` is not.
    std::vector<TextSegment> renderSegments(const Json& variables) const;
    /// The same with values whose trust the caller has set.
    std::vector<TextSegment> renderSegments(Variables variables) const;

    const std::string& name() const;

private:
    struct Parsed;
    explicit JinjaTemplate(std::shared_ptr<const Parsed> parsed);
    JinjaString run(Variables variables) const;
    static Variables fromJson(const Json& variables);

    std::shared_ptr<const Parsed> m_parsed;
};

} // namespace postnas
