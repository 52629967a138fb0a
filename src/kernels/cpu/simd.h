#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

// A vector of W floats as the compilers' vector extension has it: + - * / < work by lane and a
// scalar operand is spread over all lanes. Wider vectors than the processor has are split by the
// compiler, so every width runs (and is tested) everywhere. a * b + c becomes one fused
// multiply-add where the instruction set has it.
namespace sheaf::kernels::cpu {

#define SHEAF_INLINE inline __attribute__((always_inline))

template <int W>
struct Lanes;
#define SHEAF_LANES(W)                                                         \
  template <>                                                                  \
  struct Lanes<W> {                                                            \
    typedef float Floats __attribute__((vector_size(W * sizeof(float))));      \
    typedef std::int32_t Ints __attribute__((vector_size(W * sizeof(float)))); \
    typedef std::uint32_t Words __attribute__((vector_size(W * 4)));           \
    typedef std::uint16_t Halves __attribute__((vector_size(W * 2)));          \
    typedef std::int8_t Bytes __attribute__((vector_size(W)));                 \
  }
SHEAF_LANES(4);
SHEAF_LANES(8);
SHEAF_LANES(16);
#undef SHEAF_LANES

template <int W>
struct Simd {
  static constexpr std::size_t width = W;
  using Floats = typename Lanes<W>::Floats;
  using Ints = typename Lanes<W>::Ints;
  using Words = typename Lanes<W>::Words;  // whose sums may wrap
  using Bytes = typename Lanes<W>::Bytes;

  static SHEAF_INLINE Floats load(const float* p) {
    Floats v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  // Of bfloat16 the bits.
  static SHEAF_INLINE Floats load(const std::uint16_t* p) {
    typename Lanes<W>::Halves v;
    __builtin_memcpy(&v, p, sizeof v);
    return reinterpret_cast<Floats>(__builtin_convertvector(v, Ints) << 16);
  }
  static SHEAF_INLINE void store(float* p, Floats v) { __builtin_memcpy(p, &v, sizeof v); }

  // The first n lanes; the others read as 0 and are not written. n may be <= 0 or beyond the width.
  static SHEAF_INLINE Floats load_first(const float* p, std::ptrdiff_t n) {
    Floats v = {};
    for (std::ptrdiff_t i = 0; i < W && i < n; ++i) v[i] = p[i];
    return v;
  }
  static SHEAF_INLINE Floats load_first(const std::uint16_t* p, std::ptrdiff_t n) {
    std::uint16_t first[W] = {};
    for (std::ptrdiff_t i = 0; i < W && i < n; ++i) first[i] = p[i];
    return load(first);
  }
  static SHEAF_INLINE void store_first(float* p, Floats v, std::ptrdiff_t n) {
    for (std::ptrdiff_t i = 0; i < W && i < n; ++i) p[i] = v[i];
  }

  static SHEAF_INLINE Floats spread(float x) { return x - Floats{}; }
  // b where one of them is no number, as the processor's own instructions have it.
  static SHEAF_INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }
  static SHEAF_INLINE Ints max(Ints a, Ints b) { return a > b ? a : b; }
  static SHEAF_INLINE Floats min(Floats a, Floats b) { return a < b ? a : b; }
  static SHEAF_INLINE float sum(Floats v) {
    return fold<W / 2>(v, [](Floats a, Floats b) { return a + b; })[0];
  }
  static SHEAF_INLINE std::uint32_t sum(Words v) {
    return fold<W / 2>(v, [](Words a, Words b) { return a + b; })[0];
  }
  static SHEAF_INLINE float largest(Floats v) {
    return fold<W / 2>(v, [](Floats a, Floats b) { return max(a, b); })[0];
  }

  static SHEAF_INLINE std::int32_t largest(Ints v) {
    return fold<W / 2>(v, [](Ints a, Ints b) { return max(a, b); })[0];
  }

  // Lane 0 of the result is all lanes taken together, by halves: one after the other would wait for
  // each.
  template <int Step, class V, class Take>
  static SHEAF_INLINE V fold(V v, Take take) {
    if constexpr (Step == 0)
      return v;
    else
      return fold<Step / 2>(take(v, turned<Step>(v, std::make_integer_sequence<int, W>())), take);
  }
  template <int Step, class V, int... Lane>
  static SHEAF_INLINE V turned(V v, std::integer_sequence<int, Lane...> /*lanes*/) {
    return __builtin_shufflevector(v, v, ((Lane + Step) % W)...);
  }

  // e^x for x <= 0; relative error <= 2e-7, below -87 a number under 2e-38. Splits x = n ln 2 + r
  // with |r| <= ln 2 / 2 and takes the Taylor polynomial of degree 6 for e^r.
  static SHEAF_INLINE Floats exp(Floats x) {
    constexpr float kLog2e = 1.44269504f;
    constexpr float kLn2High = 0.693359375f;  // few bits, so that n * kLn2High is exact
    constexpr float kLn2Low = -2.12194440e-4f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    x = max(spread(-87.0f), x);
    const Floats n = (x * kLog2e + kRound) - kRound;
    const Floats r = x - n * kLn2High - n * kLn2Low;
    Floats p = spread(1.0f / 720);
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
    return p * reinterpret_cast<Floats>(exponent);
  }

  // x / (1 + e^-y), by e^-|y| so that nothing overflows.
  static SHEAF_INLINE Floats times_sigmoid(Floats x, Floats y) {
    const Floats e = exp(y < 0 ? y : -y);
    return x * (y < 0 ? e : spread(1.0f)) / (e + 1.0f);
  }
  static SHEAF_INLINE Floats silu(Floats x) { return times_sigmoid(x, x); }

  // x/2 * (1 + tanh u) with u = sqrt(2 / pi) * (x + 0.044715 x^3), which is x / (1 + e^-2u).
  static SHEAF_INLINE Floats gelu_tanh(Floats x) {
    constexpr float kTwice = 1.59576912f;
    return times_sigmoid(x, x * (x * x * (kTwice * 0.044715f) + kTwice));
  }

  static SHEAF_INLINE Floats relu(Floats x) { return x < 0.0f ? spread(0.0f) : x; }
  static SHEAF_INLINE Floats tanh(Floats x) {
    const Floats e = exp((x < 0 ? x : -x) * 2.0f);
    const Floats y = (1.0f - e) / (e + 1.0f);
    return x < 0 ? -y : y;
  }

  // x * Phi(x) = x/2 * (1 + erf(x / sqrt 2)). erf(y) is y P(y^2) / Q(y^2), a least-squares fit of
  // degree 5 / 5 on |y| < 3.925, beyond which it is 1 in single precision; |error of erf| <= 3.3e-7
  // with all roundings.
  static SHEAF_INLINE Floats gelu(Floats x) {
    constexpr float kEdge = 3.925f;
    const Floats y = x * 0.70710678f;
    const Floats t = y * y;
    Floats p = spread(2.030853864604827e-06f);
    p = p * t + 2.874932656926963e-04f;
    p = p * t + 3.876386640115771e-03f;
    p = p * t + 5.308452886956509e-02f;
    p = p * t + 1.929739716444205e-01f;
    p = p * t + 1.128379019714326e+00f;
    Floats q = spread(3.803134860710952e-05f);
    q = q * t + 1.189764207475527e-03f;
    q = q * t + 1.518847277546230e-02f;
    q = q * t + 1.151680361893160e-01f;
    q = q * t + 5.043503668214210e-01f;
    q = q * t + 1.0f;
    Floats erf = y * p / q;
    erf = y > kEdge ? spread(1.0f) : erf;
    erf = y < -kEdge ? spread(-1.0f) : erf;
    const Floats half = x * 0.5f;
    return half * erf + half;
  }

  // The same within 1.4e-5 * |x|, for what is then rounded to a few bits: without a division, in
  // half the time. Phi(y) is 1/2 + y P(y^2), a fit of degree 8 on |y| <= 4.2, above which it
  // stays; below it is 0.
  static SHEAF_INLINE Floats gelu_near(Floats x) {
    constexpr float kEdge = 4.2f;
    const Floats y = max(spread(-kEdge), min(spread(kEdge), x));
    const Floats t = y * y;
    Floats p = spread(5.9982514e-11f);
    p = p * t - 5.6334512e-09f;
    p = p * t + 2.34371414e-07f;
    p = p * t - 5.7608327e-06f;
    p = p * t + 9.4574967e-05f;
    p = p * t - 0.00111415085f;
    p = p * t + 0.0098301377f;
    p = p * t - 0.066360381f;
    p = p * t + 0.398907466f;
    return x * (x < -kEdge ? spread(0.0f) : y * p + 0.5f);
  }
};

}  // namespace sheaf::kernels::cpu
