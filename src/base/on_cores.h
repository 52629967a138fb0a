#pragma once

#include <cstddef>
#include <functional>

namespace sheaf {

// Calls body(i) once for each i in [0, count), smaller ones begun first, on as many threads as this
// process has cores, at most eight: what each needs for itself shall not add up. The caller is one
// of them; returns when all calls have ended. For work of milliseconds: a thread costs some 50 us.
void on_cores(std::size_t count, const std::function<void(std::size_t)>& body);

}  // namespace sheaf
