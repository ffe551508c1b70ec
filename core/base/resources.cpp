// Looks for the resources folder where programs are installed, and in the source tree while developing.
#include "core/base/resources.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"

namespace postnas {
namespace fs = std::filesystem;
namespace {

bool isFolder(const fs::path& path)
{
    std::error_code ignored;
    return fs::is_directory(path, ignored);
}

/// Empty when there is none.
fs::path findResources()
{
    if (const char* named = std::getenv("POSTNAS_RESOURCES"); named != nullptr && *named != '\0')
        return isFolder(named) ? fs::path(named) : fs::path();
    std::error_code failed;
    const fs::path program = fs::read_symlink("/proc/self/exe", failed);
    if (!failed) {
        const fs::path installed = program.parent_path().parent_path() / "share" / "postnas" / "resources";
        if (isFolder(installed))
            return installed;
    }
    const fs::path source = POSTNAS_SOURCE_RESOURCES;
    return isFolder(source) ? source : fs::path();
}

} // namespace

fs::path resourcesFolder()
{
    const fs::path folder = findResources();
    if (folder.empty())
        throw inputError("the program's resources folder was not found",
                         "Install it to share/postnas/resources beside the program's folder, or set POSTNAS_RESOURCES to it.");
    return folder;
}

fs::path resourceFile(const std::string& relative)
{
    fs::path file = resourcesFolder() / relative;
    std::error_code ignored;
    if (!fs::exists(file, ignored))
        throw inputError(file.string() + ": does not exist", "The installation is incomplete.");
    return file;
}

std::vector<std::string> builtInArchitectures()
{
    std::vector<std::string> names;
    const fs::path folder = findResources();
    std::error_code failed;
    if (folder.empty())
        return names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / "architectures", failed))
        if (entry.path().extension() == ".json")
            names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace postnas
