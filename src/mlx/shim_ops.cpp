/* mlx/shim_ops.cpp: operations that compute: the regular classes of shim_ops.def, and others. */
#include "mlx/shim_private.hpp"

using shim::at;
using shim::ints;
using shim::op;

extern "C" {

#define UNARY(name, mlx_name)                                     \
  mx mx_##name(mx_ctx *m, mx a) noexcept {                        \
    return op(m, [&] { return mc::mlx_name(at(a), m->stream); }); \
  }
#define BINARY(name, mlx_name)                                           \
  mx mx_##name(mx_ctx *m, mx a, mx b) noexcept {                         \
    return op(m, [&] { return mc::mlx_name(at(a), at(b), m->stream); }); \
  }
#define REDUCE(name, mlx_name)                                                              \
  mx mx_##name(mx_ctx *m, mx a, const int *axes, size_t n_axes, bool keep) noexcept {       \
    return op(m, [&] { return mc::mlx_name(at(a), ints(axes, n_axes), keep, m->stream); }); \
  }
#define SCAN(name, mlx_name)                                                                \
  mx mx_##name(mx_ctx *m, mx a, int axis, bool reverse, bool inclusive) noexcept {          \
    return op(m, [&] { return mc::mlx_name(at(a), axis, reverse, inclusive, m->stream); }); \
  }
#include "mlx/shim_ops.def"

mx mx_cast(mx_ctx *m, mx a, rlx_dtype dtype) noexcept {
  return op(m, [&] { return mc::astype(at(a), shim::dtype_of(dtype), m->stream); });
}

mx mx_view(mx_ctx *m, mx a, rlx_dtype dtype) noexcept {
  return op(m, [&] { return mc::view(at(a), shim::dtype_of(dtype), m->stream); });
}

mx mx_where(mx_ctx *m, mx cond, mx a, mx b) noexcept {
  return op(m, [&] { return mc::where(at(cond), at(a), at(b), m->stream); });
}

mx mx_softmax(mx_ctx *m, mx a, int axis) noexcept {
  return op(m, [&] { return mc::softmax(at(a), axis, true, m->stream); });
}

mx mx_argmax(mx_ctx *m, mx a, int axis, bool keep) noexcept {
  return op(m, [&] { return mc::argmax(at(a), axis, keep, m->stream); });
}

mx mx_argmin(mx_ctx *m, mx a, int axis, bool keep) noexcept {
  return op(m, [&] { return mc::argmin(at(a), axis, keep, m->stream); });
}

mx mx_sort(mx_ctx *m, mx a, int axis) noexcept {
  return op(m, [&] { return mc::sort(at(a), axis, m->stream); });
}

mx mx_argsort(mx_ctx *m, mx a, int axis) noexcept {
  return op(m, [&] { return mc::argsort(at(a), axis, m->stream); });
}

mx mx_addmm(mx_ctx *m, mx a, mx b, mx c) noexcept {
  return op(m, [&] { return mc::addmm(at(c), at(a), at(b), 1.0f, 1.0f, m->stream); });
}

mx mx_matmul(mx_ctx *m, mx a, mx b) noexcept {
  return op(m, [&] { return mc::matmul(at(a), at(b), m->stream); });
}

mx mx_gather_mm(mx_ctx *m, mx a, mx b, mx lhs_indices, mx rhs_indices) noexcept {
  auto optional = [](mx i) { return i ? std::optional(i->value) : std::nullopt; };
  return op(m, [&] {
    return mc::gather_mm(at(a), at(b), optional(lhs_indices), optional(rhs_indices), false,
                         m->stream);
  });
}

static std::optional<mc::array> given(mx a) {
  return a ? std::optional(a->value) : std::nullopt;
}

mx mx_layer_norm(mx_ctx *m, mx a, mx w, mx b, double eps) noexcept {
  return op(m, [&] {
    return mc::fast::layer_norm(at(a), given(w), given(b), static_cast<float>(eps), m->stream);
  });
}

mx mx_rms_norm(mx_ctx *m, mx a, mx w, double eps) noexcept {
  return op(m, [&] {
    return mc::fast::rms_norm(at(a), given(w), static_cast<float>(eps), m->stream);
  });
}

mx mx_attention(mx_ctx *m, mx q, mx k, mx v, double scale, bool causal, mx mask) noexcept {
  return op(m, [&] {
    return mc::fast::scaled_dot_product_attention(
        at(q), at(k), at(v), static_cast<float>(scale), causal ? "causal" : "",
        given(mask), std::nullopt, false, m->stream);
  });
}

mx mx_conv(mx_ctx *m, mx x, mx w, const int *strides, const int *pads_before, const int *pads_after,
           const int *kernel_dilation, const int *input_dilation, size_t n, int groups) noexcept {
  return op(m, [&] {
    return mc::conv_general(at(x), at(w), ints(strides, n), ints(pads_before, n),
                            ints(pads_after, n), ints(kernel_dilation, n), ints(input_dilation, n),
                            groups, false, m->stream);
  });
}

}  // extern "C"
