/* base/status.h: how the library fails: set the thread's sentence, return the code. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <rlx/status.h>

/* Bytes that a sentence may take; what is longer ends in "...". */
enum { STATUS_TEXT_MAX = 65536 };

#define BASE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Sets the thread's sentence and returns `status`. */
rlx_status status_set(rlx_status status, const char *format, ...) BASE_PRINTF(2, 3);
/* Puts "text: " before the thread's sentence and returns `status` (for callers that know where). */
rlx_status status_at(rlx_status status, const char *format, ...) BASE_PRINTF(2, 3);
/* The one sentence for a failed allocation; 0 bytes: the number is not known. */
rlx_status status_memory(size_t bytes);

#define RLX_TRY(expr)                \
  do {                               \
    rlx_status try_ = (expr);        \
    if (try_ != RLX_OK) return try_; \
  } while (0)
/* The same in a function whose label `fail` frees everything and whose variable is `status`. */
#define RLX_TRY_OR_FAIL(expr)        \
  do {                               \
    status = (expr);                 \
    if (status != RLX_OK) goto fail; \
  } while (0)

#endif
