// A Hugging Face model folder, opened and checked: config.json plus safetensors weights, single or sharded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/architecture/architecture.h"
#include "core/huggingface/generation_config.h"
#include "core/huggingface/safetensors.h"

namespace postnas {

/// Copies share the mappings; views stay valid while a copy or `mappings()` lives.
class Checkpoint {
public:
    /// Opens and checks everything before anything of the model's size is allocated: the config, each weight of
    /// modelWeights() with its shape and a float dtype (F32, F16, BF16), and for sharded folders that the index and the
    /// shards agree. Throws Error(Input) that names file and tensor or key. Symbolic links to regular files are followed,
    /// as the Hugging Face cache needs it.
    static Checkpoint open(const std::filesystem::path& folder);

    const std::filesystem::path& folder() const { return m_folder; }
    const Architecture& architecture() const { return m_architecture; }
    const GenerationConfig& generationConfig() const { return m_generationConfig; }

    /// Weight by its full name ("model.norm.weight"); Error(Input) when the model has none of that name.
    const TensorView& tensor(const std::string& name) const;
    bool has(const std::string& name) const { return m_tensors.count(name) != 0; }
    /// All weights of the model, in the order of modelWeights().
    const std::vector<std::string>& names() const { return m_names; }
    /// Bytes of these weights as they are stored.
    std::uint64_t weightBytes() const { return m_weightBytes; }
    /// The dtype that most of the bytes have.
    DType dtype() const { return m_dtype; }
    /// What was odd but harmless, one sentence each: tensors that the model does not use.
    const std::vector<std::string>& warnings() const { return m_warnings; }
    /// The safetensors files that were opened.
    const std::vector<std::filesystem::path>& files() const { return m_files; }
    /// Keeps the bytes of all views alive.
    std::vector<std::shared_ptr<const void>> mappings() const;

private:
    void openFiles();
    void checkMemory() const;
    void checkWeights();

    std::filesystem::path m_folder;
    Architecture m_architecture;
    GenerationConfig m_generationConfig;
    std::vector<SafetensorsFile> m_shards;
    std::vector<std::filesystem::path> m_files;
    std::map<std::string, const TensorView*> m_tensors; ///< into m_shards' shared content
    std::vector<std::string> m_names;
    std::vector<std::string> m_warnings;
    std::uint64_t m_weightBytes = 0;
    DType m_dtype = DType::F32;
};

/// Whether the folder has weights that Checkpoint::open reads: model.safetensors or its index.
bool hasSafetensorsWeights(const std::filesystem::path& folder);

/// Throws Error(Input) when the tokenizer of `folder` can make ids (`tokenizerVocabularySize` = largest id + 1) that have no
/// row in the embedding.
void checkVocabulary(std::uint64_t tokenizerVocabularySize, const Architecture& architecture, const std::filesystem::path& folder);

} // namespace postnas
