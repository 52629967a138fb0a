#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernels/cuda/card_findings.h"
#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// What products can be computed in on cards.
struct CardPrecision {
  std::string_view name;  // behind that of the kind of card: "cuda fp8"
  Dtype dtype;
  // Of fp8 and int8: those before and behind attention too, not only those of feed-forward parts.
  // Of two of one dtype nobody gets the second who does not ask for it by name.
  bool attention = false;
};
inline constexpr CardPrecision kCardPrecisions[] = {{"float32", Dtype::float32},
                                                    {"bfloat16", Dtype::bfloat16},
                                                    {"float16", Dtype::float16},
                                                    {"fp8", Dtype::fp8},
                                                    {"fp8 with attention", Dtype::fp8, true},
                                                    {"int8", Dtype::int8, true}};
// From which on cards multiply in fp8: 8.9.
inline constexpr int kFp8Capability = 89;

// The operations of ops.h on `device`, products with weights in `precision` with float32 sums; fp8
// and int8 by their roles, fp8 where inputs and outputs are multiples of 16, and bfloat16
// elsewhere. Attention over heads of 32, 64, 128 and 256 is in that dtype too (for fp8 and int8
// bfloat16), with tables of positions over those of 32, 64 and 128; all other arithmetic is
// float32. States are bfloat16 where products are that, fp8 or int8, else float32: float16 ends at
// 65504, which sums along the residuals of trained models pass. States of another dtype, heads of
// more than 512, and fp8 on a card below 8.9 fail the backend. `findings` are those of the card,
// which all backends there have in common.
std::unique_ptr<Backend> make_backend_on(std::unique_ptr<Device> device, std::string name,
                                         const CardPrecision& precision,
                                         const BackendOptions& options,
                                         std::shared_ptr<CardFindings> findings);

}  // namespace sheaf::kernels::cuda
