// Small model folders and raw safetensors bytes for the tests of checkpoints.
#pragma once

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/huggingface/model_config.h"
#include "core/huggingface/safetensors.h"
#include "tests/support/support.h"

namespace postnas::test {

/// Message of the Error(Input) that `action` throws; anything else fails the test.
inline std::string inputErrorOf(const std::function<void()>& action)
{
    try {
        action();
    } catch (const Error& e) {
        EXPECT_EQ(e.errorClass(), ErrorClass::Input) << e.what();
        return e.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

/// Length, header and data of a safetensors file, whatever they say.
inline std::string rawSafetensors(const std::string& header, std::size_t dataBytes)
{
    const std::uint64_t length = header.size();
    std::string out(8, '\0');
    std::memcpy(out.data(), &length, 8);
    out += header;
    for (std::size_t i = 0; i < dataBytes; ++i)
        out += static_cast<char>(i * 37 + 11);
    return out;
}

inline SafetensorsFile parseBytes(const std::string& bytes)
{
    return SafetensorsFile::parse(std::as_bytes(std::span(bytes)), "x.safetensors");
}

inline Json tinyQwen2()
{
    return parseJson(R"({"model_type":"qwen2","vocab_size":40,"hidden_size":16,"intermediate_size":24,"num_hidden_layers":2,
        "num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":256,"rope_theta":1000000.0,
        "tie_word_embeddings":true,"torch_dtype":"float32","eos_token_id":1})",
                     "tiny");
}

/// Every weight of the model, filled with a pattern; `change` may alter, add or drop tensors before they are written.
struct ModelTensors {
    struct Tensor {
        std::string name;
        DType dtype = DType::F32;
        std::vector<std::uint64_t> shape;
    };
    std::vector<Tensor> tensors;

    explicit ModelTensors(const Architecture& architecture)
    {
        for (const WeightSpec& w : modelWeights(architecture))
            tensors.push_back({w.name, DType::F32, {w.shape.begin(), w.shape.end()}});
    }
    Tensor& at(const std::string& name)
    {
        for (Tensor& t : tensors)
            if (t.name == name)
                return t;
        throw std::runtime_error("no tensor " + name);
    }
    void remove(const std::string& name)
    {
        std::erase_if(tensors, [&](const Tensor& t) { return t.name == name; });
    }
    void write(const std::filesystem::path& folder, std::uint64_t maxShardBytes = 1u << 30) const
    {
        SafetensorsWriter writer;
        std::vector<std::vector<std::byte>> data;
        for (const Tensor& t : tensors) {
            std::uint64_t bytes = dtypeSize(t.dtype);
            for (const std::uint64_t n : t.shape)
                bytes *= n;
            data.emplace_back(bytes, static_cast<std::byte>(data.size()));
        }
        for (std::size_t i = 0; i < tensors.size(); ++i)
            writer.add(tensors[i].name, tensors[i].dtype, tensors[i].shape, data[i]);
        writer.writeModel(folder, maxShardBytes);
    }
};

/// A valid folder of `config`: config.json and weights, sharded when `maxShardBytes` is small.
inline void writeModelFolder(const std::filesystem::path& folder, const Json& config, std::uint64_t maxShardBytes = 1u << 30)
{
    writeFile(folder / "config.json", dumpJson(config, 1));
    ModelTensors(parseModelConfig(config, "config.json")).write(folder, maxShardBytes);
}

} // namespace postnas::test
