/* mlx/shim_shape.cpp: operations that move elements: shapes, slices, indexing. */
#include <numeric>

#include "mlx/shim_private.hpp"

using shim::at;
using shim::ints;
using shim::op;
using shim::shape_of;

namespace {

/* Does a strided view stay inside `size` elements? */
bool view_fits(size_t size, const int *dims, const int64_t *strides, size_t rank, int64_t offset) {
  int64_t low = offset, high = offset;
  for (size_t i = 0; i < rank; i++) {
    int64_t reach = 0;
    if (dims[i] == 0) return true;
    if (__builtin_mul_overflow(dims[i] - 1, strides[i], &reach)) return false;
    int64_t &end = reach < 0 ? low : high;
    if (__builtin_add_overflow(end, reach, &end)) return false;
  }
  return low >= 0 && high < static_cast<int64_t>(size);
}

using scatter_function = mc::array (*)(const mc::array &, const std::vector<mc::array> &,
                                       const mc::array &, const std::vector<int> &,
                                       mc::StreamOrDevice);
constexpr scatter_function scatters[] = {mc::scatter, mc::scatter_add, mc::scatter_prod,
                                         mc::scatter_max, mc::scatter_min};

}  // namespace

extern "C" {

mx mx_reshape(mx_ctx *m, mx a, size_t rank, const int64_t *dims) noexcept {
  return op(m, [&] { return mc::reshape(at(a), shape_of(rank, dims), m->stream); });
}

mx mx_broadcast_to(mx_ctx *m, mx a, size_t rank, const int64_t *dims) noexcept {
  return op(m, [&] { return mc::broadcast_to(at(a), shape_of(rank, dims), m->stream); });
}

mx mx_transpose(mx_ctx *m, mx a, const int *perm, size_t n) noexcept {
  return op(m, [&] { return mc::transpose(at(a), ints(perm, n), m->stream); });
}

mx mx_slice(mx_ctx *m, mx a, const int *starts, const int *stops, const int *steps,
            size_t rank) noexcept {
  return op(m, [&] {
    return mc::slice(at(a), shape_of(rank, starts), shape_of(rank, stops), shape_of(rank, steps),
                     m->stream);
  });
}

mx mx_slice_update(mx_ctx *m, mx a, mx update, const int *starts, const int *stops,
                   const int *steps, size_t rank) noexcept {
  return op(m, [&] {
    return mc::slice_update(at(a), at(update), shape_of(rank, starts), shape_of(rank, stops),
                            shape_of(rank, steps), m->stream);
  });
}

mx mx_slice_update_at(mx_ctx *m, mx a, mx update, mx start, int axis) noexcept {
  return op(m, [&] {
    return mc::slice_update(at(a), at(update), at(start), std::vector<int>{axis}, m->stream);
  });
}

mx mx_concat(mx_ctx *m, const mx *arrays, size_t n, int axis) noexcept {
  return op(m, [&] { return mc::concatenate(shim::arrays_of(arrays, n), axis, m->stream); });
}

mx mx_pad(mx_ctx *m, mx a, const int *before, const int *after, size_t rank, mx value) noexcept {
  return op(m, [&] {
    std::vector<int> axes(rank);
    std::iota(axes.begin(), axes.end(), 0);
    return mc::pad(at(a), axes, shape_of(rank, before), shape_of(rank, after), at(value),
                   "constant", m->stream);
  });
}

mx mx_tile(mx_ctx *m, mx a, const int *reps, size_t rank) noexcept {
  return op(m, [&] { return mc::tile(at(a), ints(reps, rank), m->stream); });
}

mx mx_contiguous(mx_ctx *m, mx a) noexcept {
  return op(m, [&] { return mc::contiguous(at(a), false, m->stream); });
}

mx mx_as_strided(mx_ctx *m, mx a, const int *dims, const int64_t *strides, size_t rank,
                 int64_t offset) noexcept {
  return op(m, [&] {
    if (!view_fits(at(a).size(), dims, strides, rank, offset)) {
      throw std::invalid_argument("a strided view leaves its array");
    }
    return mc::as_strided(at(a), shape_of(rank, dims), mc::Strides(strides, strides + rank),
                          static_cast<size_t>(offset), m->stream);
  });
}

mx mx_take(mx_ctx *m, mx a, mx indices, int axis) noexcept {
  return op(m, [&] { return mc::take(at(a), at(indices), axis, m->stream); });
}

mx mx_take_along_axis(mx_ctx *m, mx a, mx indices, int axis) noexcept {
  return op(m, [&] { return mc::take_along_axis(at(a), at(indices), axis, m->stream); });
}

mx mx_scatter(mx_ctx *m, mx a, const mx *indices, size_t n_indices, mx updates, const int *axes,
              int reduction) noexcept {
  return op(m, [&] {
    return scatters[reduction](at(a), shim::arrays_of(indices, n_indices), at(updates),
                               ints(axes, n_indices), m->stream);
  });
}

}  // extern "C"
