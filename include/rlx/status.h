/* rlx/status.h: what every call answers.
 *
 * Nothing in the library exits, aborts or prints. A call that can fail returns a status; the
 * sentence that says what, where, wanted and got is kept per thread (rlx_last_error) and on the
 * object that failed, so that it survives a change of thread. */
#ifndef RLX_STATUS_H
#define RLX_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define RLX_API
#else
#define RLX_API __attribute__((visibility("default")))
#endif
#if defined(__GNUC__)
#define RLX_MUST_USE __attribute__((warn_unused_result))
#else
#define RLX_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, sentence): values never change, new ones go at the end. */
#define RLX_STATUS_LIST(X)                                            \
  X(OK, 0, "success")                                                 \
  X(ERROR_ARGUMENT, 1, "invalid argument")                            \
  X(ERROR_SHAPE, 2, "shapes do not fit")                              \
  X(ERROR_DTYPE, 3, "element types do not fit")                       \
  X(ERROR_NOT_FOUND, 4, "no such thing")                              \
  X(ERROR_UNSUPPORTED, 5, "not supported")                            \
  X(ERROR_FORMAT, 6, "malformed file")                                \
  X(ERROR_IO, 7, "input or output failed")                            \
  X(ERROR_MEMORY, 8, "out of memory")                                 \
  X(ERROR_LIMIT, 9, "a limit was exceeded")                           \
  X(ERROR_INDEX, 10, "index out of range")                            \
  X(ERROR_STATE, 11, "called at the wrong time")                      \
  X(ERROR_DEVICE, 12, "device not available")                         \
  X(ERROR_BACKEND, 13, "MLX reported a failure")                      \
  X(ERROR_FORKED, 14, "used in a forked child")                       \
  X(ERROR_INTERNAL, 15, "internal error")                             \
  X(ERROR_TIMEOUT, 16, "not ready in time")

typedef enum rlx_status {
#define X(name, value, sentence) RLX_##name = value,
  RLX_STATUS_LIST(X)
#undef X
} rlx_status;

/* The status's name ("RLX_ERROR_SHAPE") and its general sentence; static strings, never NULL. */
RLX_API const char *rlx_status_name(rlx_status status);
RLX_API const char *rlx_status_text(rlx_status status);

/* The sentence of the last failure on the calling thread, "" before the first. To be read after a
 * call that failed: one that succeeds may leave the sentence of something it tried.
 * Owner: the library; valid until the next failing call on this thread. */
RLX_API const char *rlx_last_error(void);

/* All options structs start with their own size, so that older and newer callers mix:
 *   rlx_load_options o = RLX_OPTIONS(rlx_load_options);  Zero in any other field is the default. */
#ifdef __cplusplus
#define RLX_OPTIONS(type)                 \
  []() {                                  \
    type o_ = type();                     \
    o_.struct_size = uint32_t(sizeof o_); \
    return o_;                            \
  }()
#else
#define RLX_OPTIONS(type) {.struct_size = (uint32_t)sizeof(type)}
#endif

#ifdef __cplusplus
}
#endif
#endif
