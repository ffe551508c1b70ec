// Zero-copy views of mapped files as tensors, and tensors into files.
#include "core/engine/model/tensor_io.h"

#include <cstring>

#include "core/base/error.h"
#include "core/engine/model/hybrid_model.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/model_config.h"

namespace postnas::engine {

torch::ScalarType scalarType(DType dtype)
{
    switch (dtype) {
    case DType::Bool: return torch::kBool;
    case DType::U8: return torch::kUInt8;
    case DType::I8: return torch::kInt8;
    case DType::U16: return torch::kUInt16;
    case DType::I16: return torch::kInt16;
    case DType::F16: return torch::kFloat16;
    case DType::BF16: return torch::kBFloat16;
    case DType::U32: return torch::kUInt32;
    case DType::I32: return torch::kInt32;
    case DType::F32: return torch::kFloat32;
    case DType::U64: return torch::kUInt64;
    case DType::I64: return torch::kInt64;
    case DType::F64: return torch::kFloat64;
    case DType::F8_E4M3: return torch::kFloat8_e4m3fn;
    case DType::F8_E5M2: return torch::kFloat8_e5m2;
    }
    throw internalError("unknown dtype");
}

DType safetensorsType(torch::ScalarType type)
{
    for (const DType dtype : {DType::F32, DType::F16, DType::BF16, DType::F64, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::Bool})
        if (scalarType(dtype) == type)
            return dtype;
    throw internalError(std::string("tensors of type ") + c10::toString(type) + " cannot be written");
}

torch::ScalarType scalarTypeNamed(const std::string& name)
{
    if (name == "float32")
        return torch::kFloat32;
    if (name == "bfloat16")
        return torch::kBFloat16;
    if (name == "float16")
        return torch::kFloat16;
    throw usageError("dtype \"" + name + "\" is unknown", "Known types: float32, bfloat16, float16.");
}

namespace {

std::vector<std::int64_t> shapeOf(const TensorView& view) { return {view.shape.begin(), view.shape.end()}; }

} // namespace

torch::Tensor tensorFrom(const TensorView& view, const std::shared_ptr<const void>& owner, torch::Device device, torch::ScalarType dtype)
{
    const torch::ScalarType stored = scalarType(view.dtype);
    // torch never writes to a weight of a frozen model, so the read-only mapping is safe behind the const_cast.
    void* data = const_cast<std::byte*>(view.data.data());
    const bool aligned = reinterpret_cast<std::uintptr_t>(data) % dtypeSize(view.dtype) == 0;
    const auto options = torch::TensorOptions().dtype(stored);
    if (!aligned)
        return copyFrom(view).to(device, dtype);
    return torch::from_blob(data, shapeOf(view), [owner](void*) {}, options).to(device, dtype);
}

torch::Tensor copyFrom(const TensorView& view)
{
    torch::Tensor out = torch::empty(shapeOf(view), torch::TensorOptions().dtype(scalarType(view.dtype)));
    if (!view.data.empty())
        std::memcpy(out.data_ptr(), view.data.data(), view.data.size());
    return out;
}

void addTensor(SafetensorsWriter& writer, const std::string& name, const torch::Tensor& tensor, std::optional<torch::ScalarType> dtype)
{
    const torch::ScalarType type = dtype.value_or(tensor.scalar_type());
    std::vector<std::uint64_t> shape(tensor.sizes().begin(), tensor.sizes().end());
    writer.add(name, safetensorsType(type), std::move(shape), [tensor, type](const SafetensorsWriter::Sink& sink) {
        const torch::Tensor host = tensor.detach().to(torch::kCPU, type).contiguous();
        sink({static_cast<const std::byte*>(host.data_ptr()), static_cast<std::size_t>(host.nbytes())});
    });
}

std::unique_ptr<HybridModel> HybridModel::load(const Checkpoint& checkpoint, torch::Device device, torch::ScalarType dtype)
{
    if (device.is_cpu() && scalarType(checkpoint.dtype()) != dtype)
        requireModelMemory(checkpoint.architecture(), static_cast<int>(c10::elementSize(dtype)), 0, (checkpoint.folder() / "config.json").string());
    std::unique_ptr<HybridModel> model(new HybridModel(checkpoint.architecture()));
    // One owner that keeps all shards mapped as long as any weight lives.
    const auto owner = std::make_shared<const std::vector<std::shared_ptr<const void>>>(checkpoint.mappings());
    for (const std::string& name : checkpoint.names())
        model->setWeight(name, tensorFrom(checkpoint.tensor(name), owner, device, dtype));
    if (device.is_cuda())
        model->joinProjections();
    return model;
}

} // namespace postnas::engine
