// The one exception type of the project: a class that decides the exit code, a sentence, and a hint.
#pragma once

#include <stdexcept>
#include <string>

namespace postnas {

/// What kind of failure it is; `exitCode` maps it to the process's exit code.
enum class ErrorClass {
    Usage,       ///< the command line or a spec asks for something impossible: exit 2
    Input,       ///< a file from outside is broken or does not fit: exit 3
    Resource,    ///< memory, disk or a device ran out: exit 4
    Internal,    ///< a defect of this program: exit 5
    Interrupted, ///< stopped on request: exit 130
};

int exitCode(ErrorClass errorClass);
/// "usage", "input", "resource", "internal", "interrupted": the `class` field of an `error` event.
const char* errorClassName(ErrorClass errorClass);

/// `what()` is one sentence that names the file and the tensor or key; `hint()` says what to do and may be empty.
class Error : public std::runtime_error {
public:
    Error(ErrorClass errorClass, const std::string& message, std::string hint = {});

    ErrorClass errorClass() const { return m_class; }
    const std::string& hint() const { return m_hint; }

private:
    ErrorClass m_class;
    std::string m_hint;
};

/// Shorthands for the common classes.
Error inputError(const std::string& message, std::string hint = {});
Error usageError(const std::string& message, std::string hint = {});
Error resourceError(const std::string& message, std::string hint = {});
Error internalError(const std::string& message, std::string hint = {});

} // namespace postnas
