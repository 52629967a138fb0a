#include "kernels/cuda/emulation/fiber.h"

#include <cstdint>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// The address sanitizer has to be told which stack is in use.
#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// void sheaf_emulation_switch(void** save, void* load): keeps what a call must keep (System V ABI)
// on the stack that is left, and continues where `load` left its own. swapcontext() would ask the
// kernel for the mask of signals each time, which takes a hundred times as long.
asm(R"(
  .text
  .globl sheaf_emulation_switch
  .type sheaf_emulation_switch, @function
sheaf_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size sheaf_emulation_switch, .-sheaf_emulation_switch
)");
extern "C" void sheaf_emulation_switch(void** save, void* load);
#endif

namespace sheaf::kernels::cuda::emulation {
namespace {

// Kernels keep little there, but code without optimization, or watched by a sanitizer, much more.
constexpr std::size_t kStackBytes = std::size_t{128} << 10;
#if defined(__SANITIZE_ADDRESS__)
// Of the stack, where the few calls are that a thread ends in and never returns from.
constexpr std::size_t kEndBytes = std::size_t{8} << 10;
#endif

}  // namespace

struct Fiber::State {
  std::unique_ptr<std::byte[]> stack;  // null: of the thread that made it
  Run run = nullptr;
#if defined(__x86_64__)
  void* top = nullptr;  // of the stack, while it does not run
#else
  ucontext_t context;
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  void* fake_stack = nullptr;  // kept over rewind(): making one takes longer than most threads

  void find_stack_of_thread() {
    pthread_attr_t attributes;
    void* at = nullptr;
    ::pthread_getattr_np(::pthread_self(), &attributes);
    ::pthread_attr_getstack(&attributes, &at, &bytes);
    ::pthread_attr_destroy(&attributes);
    bottom = at;
  }
#endif
};

Fiber::Fiber() : state_(std::make_unique<State>()) {
#if defined(__SANITIZE_ADDRESS__)
  state_->find_stack_of_thread();
#endif
}

Fiber::Fiber(Run run) : state_(std::make_unique<State>()) {
  state_->stack.reset(new std::byte[kStackBytes]);
  state_->run = run;
#if defined(__SANITIZE_ADDRESS__)
  state_->bottom = state_->stack.get();
  state_->bytes = kStackBytes;
#endif
  rewind();
}

Fiber::~Fiber() = default;

void Fiber::rewind() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(state_->stack.get() + kStackBytes - kEndBytes, kEndBytes);
#endif
#if defined(__x86_64__)
  const auto end = reinterpret_cast<std::uintptr_t>(state_->stack.get() + kStackBytes) / 16 * 16;
  // The switch pops six registers and returns to `run`, which finds the stack as after a call.
  auto* top = reinterpret_cast<std::uintptr_t*>(end) - 8;
  for (int i = 0; i < 8; ++i) top[i] = 0;
  top[6] = reinterpret_cast<std::uintptr_t>(state_->run);
  state_->top = top;
#else
  ::getcontext(&state_->context);
  state_->context.uc_stack.ss_sp = state_->stack.get();
  state_->context.uc_stack.ss_size = kStackBytes;
  state_->context.uc_link = nullptr;
  ::makecontext(&state_->context, state_->run, 0);
#endif
}

void Fiber::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(state_->fake_stack, nullptr, nullptr);
#endif
}

void Fiber::switch_from(Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.state_->fake_stack, state_->bottom, state_->bytes);
#endif
#if defined(__x86_64__)
  sheaf_emulation_switch(&from.state_->top, state_->top);
#else
  ::swapcontext(&from.state_->context, &state_->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.state_->fake_stack, nullptr, nullptr);
#endif
}

}  // namespace sheaf::kernels::cuda::emulation
