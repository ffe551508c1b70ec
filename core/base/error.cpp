// Exit codes and names of the error classes.
#include "core/base/error.h"

#include <utility>

namespace postnas {

int exitCode(ErrorClass errorClass)
{
    switch (errorClass) {
    case ErrorClass::Usage: return 2;
    case ErrorClass::Input: return 3;
    case ErrorClass::Resource: return 4;
    case ErrorClass::Internal: return 5;
    case ErrorClass::Interrupted: return 130;
    }
    return 5;
}

const char* errorClassName(ErrorClass errorClass)
{
    switch (errorClass) {
    case ErrorClass::Usage: return "usage";
    case ErrorClass::Input: return "input";
    case ErrorClass::Resource: return "resource";
    case ErrorClass::Internal: return "internal";
    case ErrorClass::Interrupted: return "interrupted";
    }
    return "internal";
}

namespace {

/// what() ends at a NUL, which names from hostile files can hold.
std::string withoutNul(std::string text)
{
    for (std::size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at))
        text.replace(at, 1, "\\0");
    return text;
}

} // namespace

Error::Error(ErrorClass errorClass, const std::string& message, std::string hint)
    : std::runtime_error(withoutNul(message))
    , m_class(errorClass)
    , m_hint(std::move(hint))
{
}

Error inputError(const std::string& message, std::string hint) { return {ErrorClass::Input, message, std::move(hint)}; }
Error usageError(const std::string& message, std::string hint) { return {ErrorClass::Usage, message, std::move(hint)}; }
Error resourceError(const std::string& message, std::string hint) { return {ErrorClass::Resource, message, std::move(hint)}; }
Error internalError(const std::string& message, std::string hint) { return {ErrorClass::Internal, message, std::move(hint)}; }

} // namespace postnas
