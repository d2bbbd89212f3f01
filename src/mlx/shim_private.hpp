/* mlx/shim_private.hpp: what the shim's C++ files share.
 *
 * Laws: every extern "C" function is noexcept and does its work in one guard or op; every MLX call
 * names the context's stream, so that no default of a thread or of the process ever matters. */
#ifndef MLX_SHIM_PRIVATE_HPP
#define MLX_SHIM_PRIVATE_HPP

#include <mlx/mlx.h>

#include <atomic>
#include <forward_list>
#include <memory>
#include <stdexcept>
#include <vector>

extern "C" {
#include "base/status.h"
}
#include "mlx/lock.h"
#include "mlx/shim.h"

namespace mc = mlx::core;

namespace shim {

/* What is freed under the lock only, but may be let go of without it. */
struct droppable {
  virtual ~droppable() = default;
  droppable *next = nullptr; /* in the list of those that wait for the lock */
};
void drop(droppable *d) noexcept; /* never blocks */

}  // namespace shim

/* Counted: references may be dropped from any thread at once, so the count is atomic; the array
 * itself is only touched under the lock. */
struct mx_array : shim::droppable {
  explicit mx_array(mc::array a) : value(std::move(a)) {}
  mc::array value;
  std::atomic<uint32_t> refs{1};
};

struct mx_ctx {
  explicit mx_ctx(mx_device d);
  mx_device device;
  mc::Stream stream;
  rlx_status status = RLX_OK;
  std::vector<mx> handles;                   /* one reference on each, until the reset */
  std::forward_list<std::vector<int>> lists; /* mx_ints */
};

namespace shim {

/* Thrown where the thread's sentence is already set. */
struct failure {
  rlx_status status;
};

/* Of the exception being handled: sets the thread's sentence. */
rlx_status status_of_exception() noexcept;

template <class F>
rlx_status guard(F &&body) noexcept {
  lock_check();
  try {
    body();
    return RLX_OK;
  } catch (...) {
    return status_of_exception();
  }
}

mx wrap(mx_ctx *m, mc::array a); /* a new handle that the context owns */

/* One operation: make() gives its array. NULL if the context has failed or fails now. */
template <class F>
mx op(mx_ctx *m, F &&make) noexcept {
  if (m->status != RLX_OK) return nullptr;
  mx out = nullptr;
  m->status = guard([&] { out = wrap(m, make()); });
  return out;
}

inline const mc::array &at(mx a) {
  if (a == nullptr) throw std::invalid_argument("an operand is missing");
  return a->value;
}

int narrow(int64_t size); /* a size as MLX's int32, or RLX_ERROR_LIMIT */
mc::Shape shape_of(size_t rank, const int64_t *dims);
inline mc::Shape shape_of(size_t rank, const int *dims) { return mc::Shape(dims, dims + rank); }
inline std::vector<int> ints(const int *v, size_t n) { return std::vector<int>(v, v + n); }
std::vector<mc::array> arrays_of(const mx *handles, size_t n);
mc::Dtype dtype_of(rlx_dtype dtype); /* RLX_ERROR_DTYPE for block formats */
const mc::Stream &stream_of(mx_device device);
/* Is MLX's host memory a size_t byte count with the data right behind it? */
bool buffers_are_counted();

}  // namespace shim

#endif
