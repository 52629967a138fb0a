#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/launcher.h"
#include "kernels/cuda/operand.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/quantized_gate.cuh"
#include "kernels/cuda/weight_layout.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {

// What products take, where other products are in T and states in S: rows as they are if they will
// do, else made of them, in T or quantized as their weight wants it (WeightLayout). What is made
// lies in a buffer that the caller gives, until it gives that again. Device and layout must outlive
// it; one thread uses it.
template <class T, class S>
class Operands {
  using Layout = WeightLayout<T>;

 public:
  Operands(Device& device, const Layout& weights) : device_(device), weights_(weights) {}

  // Floats of the largest that a product with any weight of so many inputs takes.
  std::size_t most_floats(std::size_t rows, std::size_t inputs) const {
    const bool as_it_is = std::is_same_v<S, T> && inputs == Layout::stride_of(inputs);
    const std::size_t made = as_it_is ? 0 : Layout::operand_floats(rows, inputs);
    if (!weights_.may_be_quantized(inputs)) return made;
    return std::max(made, weights_.quantized_shape(rows, inputs).floats());
  }

  // Rows of x, or those of `chosen` if that is there, as a product with `weight` takes them.
  template <class E>
  Factor of_rows(Rows<const E> x, const std::uint32_t* chosen, std::size_t rows,
                 const Linear& weight, tensor::Buffer& buffer) const {
    if (weights_.is_quantized(weight)) return quantize(x, chosen, rows, weight, buffer);
    if (chosen == nullptr && is_operand(x, weight.inputs)) return {x.data, x.stride};
    return make(OperandTask<E, T>{.x = x,
                                  .chosen = chosen,
                                  .rows = narrow(rows),
                                  .columns = narrow(weight.inputs),
                                  .out = room(rows, weight.inputs, buffer)});
  }
  // activation(x), of states that nobody needs any more, and without an activation where the weight
  // is quantized.
  Factor of_sums(Rows<S> x, Activation activation, std::size_t rows, const Linear& weight,
                 tensor::Buffer& buffer) const {
    const Rows<const S> sums = {x.data, x.stride};
    if (activation == Activation::none) return of_rows(sums, nullptr, rows, weight, buffer);
    OperandTask<S, T> task{.x = sums,
                           .activation = activation,
                           .rows = narrow(rows),
                           .columns = narrow(weight.inputs)};
    if (is_operand(x, weight.inputs))
      task.out = {reinterpret_cast<T*>(x.data), x.stride};
    else
      task.out = room(rows, weight.inputs, buffer);
    return make(task);
  }
  // Room for so many rows that a product with bounds takes in fp8.
  Factor codes(std::size_t rows, const Linear& weight, tensor::Buffer& buffer) const {
    return {.data = buffer.reserve(weights_.quantized_shape(rows, weight.inputs).code_floats(),
                                   device_),
            .stride = weight.inputs,
            .scales = checked(device_, &weights_.scales_of(weight)->inputs),
            .one_scale = true};
  }

  // Whether gated() makes what a product with `down` takes.
  bool can_gate(const Linear& down) const {
    if (!weights_.is_quantized(down) || weights_.is_bounded(down)) return false;
    return weights_.dtype() == Dtype::int8 ||
           gate_to_fp8_bytes<S>(down.inputs) <= device_.shared_bytes_max();
  }
  // activation(left half) * right half.
  Factor gated(Rows<const S> halves, Activation activation, std::size_t rows, const Linear& down,
               tensor::Buffer& buffer) const {
    if constexpr (std::is_same_v<S, Bfloat16>) {
      if (weights_.dtype() == Dtype::int8) {
        constexpr unsigned kCount = kInt8Block / kWarpSize;
        return gate(quantize_task<Int8>(halves, rows, down, buffer), activation,
                    gate_to_int8<kCount, S>, gate_to_int8<1, S>, kRowsPerBlock,
                    kGateToInt8Bytes<S>);
      }
      return gate(quantize_task<Fp8>(halves, rows, down, buffer), activation, gate_to_fp8<kWide, S>,
                  gate_to_fp8<1, S>, 1, gate_to_fp8_bytes<S>(down.inputs));
    }
    return {};  // no product is quantized
  }

 private:
  template <class E>
  static bool is_operand(const Rows<E>& x, std::size_t columns) {
    return std::is_same_v<std::remove_const_t<E>, T> && columns == Layout::stride_of(columns) &&
           lies_at<16>(x);
  }
  Rows<T> room(std::size_t rows, std::size_t columns, tensor::Buffer& buffer) const {
    float* const block = buffer.reserve(Layout::operand_floats(rows, columns), device_);
    return {reinterpret_cast<T*>(block), Layout::stride_of(columns)};
  }
  template <class E>
  Factor make(OperandTask<E, T> task) const {
    task.width = narrow(Layout::stride_of(task.columns));
    const bool wide = task.width == task.columns && is_wide(task.columns, task.x, task.out);
    launcher_.columns(wide, make_operand<kWide, E, T>, make_operand<1, E, T>, task.rows, task.width,
                      task);
    return {task.out.data, task.out.stride};
  }

  template <class E>
  Factor quantize(Rows<const E> x, const std::uint32_t* chosen, std::size_t rows,
                  const Linear& weight, tensor::Buffer& buffer) const {
    if (weights_.is_bounded(weight)) return round(x, chosen, rows, weight, buffer);
    if (weights_.dtype() == Dtype::int8)
      return quantize_to<Int8, kInt8Block / kWarpSize>(x, chosen, rows, weight, buffer);
    return quantize_to<Fp8, kWide>(x, chosen, rows, weight, buffer);
  }
  // By the scale that is known before.
  template <class E>
  Factor round(Rows<const E> x, const std::uint32_t* chosen, std::size_t rows, const Linear& weight,
               tensor::Buffer& buffer) const {
    const Factor to = codes(rows, weight, buffer);
    const OperandTask<E, Fp8> task{
        .x = x,
        .chosen = chosen,
        .scale = to.scales,
        .rows = narrow(rows),
        .columns = narrow(weight.inputs),
        .width = narrow(weight.inputs),
        .out = {static_cast<Fp8*>(const_cast<void*>(to.data)), to.stride}};
    launcher_.columns(is_wide(task.columns, task.x), make_operand<kWide, E, Fp8>,
                      make_operand<1, E, Fp8>, rows, task.width, task);
    return to;
  }
  template <class Q, unsigned kCount, class E>
  Factor quantize_to(Rows<const E> x, const std::uint32_t* chosen, std::size_t rows,
                     const Linear& weight, tensor::Buffer& buffer) const {
    QuantizeTask<E, Q> task = quantize_task<Q>(x, rows, weight, buffer);
    task.chosen = chosen;
    launcher_.rows(is_wide(weight.inputs, x) ? quantize_rows<kCount, E, Q> : quantize_rows<1, E, Q>,
                   rows, task);
    return {task.out, task.width, task.scales};
  }
  template <class Q, class E>
  QuantizeTask<E, Q> quantize_task(Rows<const E> x, std::size_t rows, const Linear& weight,
                                   tensor::Buffer& buffer) const {
    const QuantizedShape shape = weights_.quantized_shape(rows, weight.inputs);
    float* const block = buffer.reserve(shape.floats(), device_);
    return {.x = x,
            .balance = checked(device_, weights_.factor_of(weight).balance),
            .rows = narrow(rows),
            .columns = narrow(weight.inputs),
            .width = narrow(shape.width()),
            .block = narrow(shape.block),
            .out = reinterpret_cast<Q*>(block),
            .scales = block + shape.code_floats()};
  }
  template <class Q, class Kernel>
  Factor gate(const QuantizeTask<S, Q>& rows, Activation activation, Kernel by_many, Kernel by_one,
              std::size_t rows_per_block, std::size_t shared_bytes) const {
    const QuantizedGateTask<S, Q> task{rows, activation};
    launcher_.give(is_wide(rows.columns, rows.x) ? by_many : by_one,
                   Grid{blocks_of(rows.rows, rows_per_block)}, kThreadsPerBlock, shared_bytes,
                   task);
    return {rows.out, rows.width, rows.scales};
  }

  Device& device_;
  const Layout& weights_;
  const Launcher launcher_{device_};
};

}  // namespace sheaf::kernels::cuda
