// Registers the products of a few tokens with the torch dispatcher: schemas, the CPU, and the C++ functions that call them.
#include "kernels/include/linear_operators.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "kernels/linear/composed.h"

namespace postnas::ops {
namespace {

using at::Tensor;

template <typename F>
auto handle(const char* name)
{
    return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<F>();
}

} // namespace

TORCH_LIBRARY_FRAGMENT(postnas, m)
{
    m.def("token_products(Tensor x, Tensor? norm, float epsilon, Tensor[] weights, Tensor?[] biases, int silu, int unrounded, Tensor[] upcoming) -> Tensor[]");
    m.def("gated_product(Tensor x, Tensor? norm, float epsilon, Tensor gate, Tensor up, Tensor[] upcoming) -> Tensor");
    m.def("add_product(Tensor(a!) sum, Tensor x, Tensor weight, Tensor? bias, Tensor[] upcoming) -> ()");
}

TORCH_LIBRARY_IMPL(postnas, CPU, m)
{
    m.impl("token_products", &tokenProductsComposed);
    m.impl("gated_product", &gatedProductComposed);
    m.impl("add_product", &addProductComposed);
}

std::vector<Tensor> tokenProducts(const Tensor& x, const TokenNorm& norm, const std::vector<TokenProduct>& products, const Upcoming& upcoming)
{
    static const auto op = handle<decltype(tokenProductsComposed)>("postnas::token_products");
    std::vector<Tensor> weights;
    OptionalTensors biases;
    std::int64_t silu = 0, unrounded = 0;
    for (const TokenProduct& product : products) {
        silu |= std::int64_t(product.silu) << weights.size();
        unrounded |= std::int64_t(product.unrounded) << weights.size();
        weights.push_back(product.weight);
        biases.push_back(product.bias);
    }
    return op.call(x, norm.weight, norm.epsilon, weights, biases, silu, unrounded, upcoming);
}

Tensor gatedProduct(const Tensor& x, const TokenNorm& norm, const Tensor& gate, const Tensor& up, const Upcoming& upcoming)
{
    static const auto op = handle<decltype(gatedProductComposed)>("postnas::gated_product");
    return op.call(x, norm.weight, norm.epsilon, gate, up, upcoming);
}

void addProduct(Tensor& sum, const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const Upcoming& upcoming)
{
    static const auto op = handle<decltype(addProductComposed)>("postnas::add_product");
    op.call(sum, x, weight, bias, upcoming);
}

} // namespace postnas::ops
