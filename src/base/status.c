/* base/status.c: status names and the thread's sentence.
 *
 * Two buffers per thread take turns, so that a sentence may be made from the one before it. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
  char text[2][STATUS_TEXT_MAX];
  int current;
} last;

const char *rlx_status_name(rlx_status status) {
  switch (status) {
#define X(name, value, sentence) \
  case RLX_##name: return "RLX_" #name;
    RLX_STATUS_LIST(X)
#undef X
  }
  return "RLX_ERROR_UNKNOWN";
}

const char *rlx_status_text(rlx_status status) {
  switch (status) {
#define X(name, value, sentence) \
  case RLX_##name: return sentence;
    RLX_STATUS_LIST(X)
#undef X
  }
  return "unknown status";
}

const char *rlx_last_error(void) { return last.text[last.current]; }

/* Ends a sentence that did not fit in "...", and makes it the current one. */
static void finish(bool cut) {
  char *text = last.text[!last.current];
  if (cut) memcpy(text + STATUS_TEXT_MAX - 4, "...", 4);
  last.current = !last.current;
}

rlx_status status_set(rlx_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(last.text[!last.current], STATUS_TEXT_MAX, format, args);
  va_end(args);
  finish(n >= STATUS_TEXT_MAX);
  return status;
}

rlx_status status_at(rlx_status status, const char *format, ...) {
  char *text = last.text[!last.current];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, STATUS_TEXT_MAX, format, args);
  va_end(args);
  size_t used = n < 0 ? 0 : n < STATUS_TEXT_MAX ? (size_t)n : STATUS_TEXT_MAX - 1;
  const char *parts[2] = {": ", rlx_last_error()};
  for (int i = 0; i < 2; i++) {
    size_t bytes = strlen(parts[i]), room = STATUS_TEXT_MAX - 1 - used;
    memmove(text + used, parts[i], bytes < room ? bytes : room);
    used += bytes < room ? bytes : room;
  }
  text[used] = 0;
  finish(used == STATUS_TEXT_MAX - 1);
  return status;
}

rlx_status status_memory(size_t bytes) {
  if (bytes == 0) return status_set(RLX_ERROR_MEMORY, "out of memory");
  return status_set(RLX_ERROR_MEMORY, "out of memory: %zu bytes wanted", bytes);
}
