/* mlx/shim_array.cpp: handles, contexts, and host memory as arrays. */
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>

#include "mlx/shim_private.hpp"

namespace {

/* Our plain types come first in their enum; MLX's in the same order. */
constexpr mc::Dtype plain[] = {mc::bool_,    mc::uint8,   mc::uint16,  mc::uint32,   mc::uint64,
                               mc::int8,     mc::int16,   mc::int32,   mc::int64,    mc::float16,
                               mc::bfloat16, mc::float32, mc::float64, mc::complex64};
static_assert(RLX_BOOL == 0 && RLX_C64 + 1 == std::size(plain));

/* Dropped without the lock, for its next holder. */
std::atomic<shim::droppable *> dropped{nullptr};

void release(mx a) noexcept {
  if (a->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete a;
}

void release_all(mx_ctx *m) noexcept {
  for (mx a : m->handles) release(a);
  m->handles.clear();
  m->lists.clear();
}

/* A fresh, uninitialised array. */
mc::array make_empty(mc::Shape shape, mc::Dtype dtype) {
  size_t count = 1;
  for (int d : shape) {
    if (__builtin_mul_overflow(count, static_cast<size_t>(d), &count)) throw std::bad_alloc();
  }
  if (__builtin_mul_overflow(count, mc::size_of(dtype), &count)) throw std::bad_alloc();
  mc::allocator::Data memory = mc::allocator::malloc(count);
  if (memory.buffer().ptr() == nullptr) throw std::bad_alloc();
  return mc::array(std::move(memory), std::move(shape), dtype);
}

mc::array copy_of(mc::Shape shape, mc::Dtype dtype, const void *data) {
  mc::array a = make_empty(std::move(shape), dtype);
  if (a.nbytes() > 0) std::memcpy(a.data<char>(), data, a.nbytes());
  return a;
}

/* A double as the integer that it truncates to, at the ends of the range where it has none. */
template <class T>
T whole(double v) {
  using limits = std::numeric_limits<T>;
  if (std::isnan(v)) return 0;
  if (v <= static_cast<double>(limits::min())) return limits::min();
  if (v >= static_cast<double>(limits::max())) return limits::max();
  return static_cast<T>(v);
}

mc::array scalar_of(double v, mc::Dtype dtype) {
  if (!mc::issubdtype(dtype, mc::integer)) return mc::array(v, dtype);
  return v < 0 ? mc::array(whole<int64_t>(v), dtype) : mc::array(whole<uint64_t>(v), dtype);
}

/* start + i * step, each computed from i, so that errors do not add up. */
struct progression {
  using iterator_category = std::input_iterator_tag;
  using value_type = double;
  using difference_type = std::ptrdiff_t;
  using pointer = const double *;
  using reference = double;
  double start, step;
  difference_type i;
  double operator*() const { return start + static_cast<double>(i) * step; }
  progression &operator++() {
    ++i;
    return *this;
  }
  progression operator+(size_t n) const {
    return {start, step, i + static_cast<difference_type>(n)};
  }
  bool operator==(const progression &o) const { return i == o.i; }
  bool operator!=(const progression &o) const { return i != o.i; }
};

}  // namespace

void shim::drop(droppable *d) noexcept {
  if (d == nullptr) return;
  if (lock_try()) {
    delete d;
    (void)lock_leave();
    return;
  }
  d->next = dropped.load(std::memory_order_relaxed);
  while (!dropped.compare_exchange_weak(d->next, d, std::memory_order_release)) {
  }
}

mx shim::wrap(mx_ctx *m, mc::array a) {
  auto handle = std::make_unique<mx_array>(std::move(a));
  m->handles.push_back(handle.get());
  return handle.release();
}

int shim::narrow(int64_t size) {
  if (size < std::numeric_limits<int>::min() || size > std::numeric_limits<int>::max()) {
    throw failure{status_set(RLX_ERROR_LIMIT, "%lld does not fit MLX's 32-bit sizes",
                             static_cast<long long>(size))};
  }
  return static_cast<int>(size);
}

mc::Shape shim::shape_of(size_t rank, const int64_t *dims) {
  mc::Shape shape;
  for (size_t i = 0; i < rank; i++) shape.push_back(narrow(dims[i]));
  return shape;
}

std::vector<mc::array> shim::arrays_of(const mx *handles, size_t n) {
  std::vector<mc::array> arrays;
  arrays.reserve(n);
  for (size_t i = 0; i < n; i++) arrays.push_back(at(handles[i]));
  return arrays;
}

mc::Dtype shim::dtype_of(rlx_dtype dtype) {
  if (static_cast<size_t>(dtype) >= std::size(plain)) {
    throw failure{status_set(RLX_ERROR_DTYPE, "MLX has no arrays of this element type (%d)",
                             static_cast<int>(dtype))};
  }
  return plain[dtype];
}

mx_ctx::mx_ctx(mx_device d) : device(d), stream(shim::stream_of(d)) {}

extern "C" {

rlx_status mx_ctx_create(mx_device device, mx_ctx **out_ctx) noexcept {
  *out_ctx = nullptr;
  return shim::guard([&] { *out_ctx = new mx_ctx(device); });
}

void mx_ctx_free(mx_ctx *m) noexcept {
  if (m == nullptr) return;
  lock_check();
  release_all(m);
  delete m;
}

void mx_ctx_reset(mx_ctx *m) noexcept {
  lock_check();
  release_all(m);
  m->status = RLX_OK;
}

rlx_status mx_ctx_status(const mx_ctx *m) noexcept { return m->status; }

mx_device mx_ctx_device(const mx_ctx *m) noexcept { return m->device; }

mx mx_fail(mx_ctx *m, rlx_status status) noexcept {
  if (m->status == RLX_OK) m->status = status;
  return nullptr;
}

const int *mx_ints(mx_ctx *m, const int64_t *v, size_t n) noexcept {
  if (m->status != RLX_OK) return nullptr;
  const int *out = nullptr;
  m->status = shim::guard([&] {
    std::vector<int> list(n + 1); /* so that an empty list is not NULL */
    for (size_t i = 0; i < n; i++) list[i] = shim::narrow(v[i]);
    out = m->lists.emplace_front(std::move(list)).data();
  });
  return out;
}

mx mx_keep(mx a) noexcept {
  if (a != nullptr) a->refs.fetch_add(1, std::memory_order_relaxed);
  return a;
}

void mx_drop(mx a) noexcept {
  if (a != nullptr && a->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) shim::drop(a);
}

void mx_drain(void) noexcept {
  if (dropped.load(std::memory_order_relaxed) == nullptr) return;
  shim::droppable *next = nullptr;
  for (auto *d = dropped.exchange(nullptr, std::memory_order_acquire); d != nullptr; d = next) {
    next = d->next;
    delete d;
  }
}

mx mx_from_data(mx_ctx *m, rlx_dtype dtype, size_t rank, const int64_t *dims,
                const void *data) noexcept {
  return shim::op(m,
                  [&] { return copy_of(shim::shape_of(rank, dims), shim::dtype_of(dtype), data); });
}

mx mx_from_owned(mx_ctx *m, rlx_dtype dtype, size_t rank, const int64_t *dims, void *data,
                 void (*release_owner)(void *), void *owner) noexcept {
  /* Calls release when the last array goes or, if no array came to hold it, at the end of this
   * function. MLX neither writes to nor reuses memory that it did not allocate. */
  mc::allocator::Data memory(mc::allocator::Buffer(static_cast<char *>(data) - sizeof(size_t)),
                             [=](mc::allocator::Buffer) { release_owner(owner); });
  return shim::op(m, [&] {
    mc::Shape shape = shim::shape_of(rank, dims);
    mc::Dtype type = shim::dtype_of(dtype);
    if (!shim::buffers_are_counted()) return copy_of(std::move(shape), type, data);
    return mc::array(std::move(memory), std::move(shape), type);
  });
}

mx mx_scalar(mx_ctx *m, rlx_dtype dtype, double value) noexcept {
  return shim::op(m, [&] { return scalar_of(value, shim::dtype_of(dtype)); });
}

mx mx_arange(mx_ctx *m, double start, double step, int64_t count, rlx_dtype dtype) noexcept {
  return shim::op(m, [&] {
    return mc::array(progression{start, step, 0}, mc::Shape{shim::narrow(count)},
                     shim::dtype_of(dtype));
  });
}

size_t mx_rank(mx a) noexcept {
  lock_check();
  return a == nullptr ? 0 : a->value.ndim();
}

int64_t mx_dim(mx a, size_t axis) noexcept {
  lock_check();
  return a == nullptr || axis >= a->value.ndim() ? 0 : a->value.shape()[axis];
}

rlx_dtype mx_dtype(mx a) noexcept {
  lock_check();
  if (a == nullptr) return RLX_DTYPE_COUNT;
  const mc::Dtype *p = std::find(std::begin(plain), std::end(plain), a->value.dtype());
  return static_cast<rlx_dtype>(p - plain);
}

}  // extern "C"
