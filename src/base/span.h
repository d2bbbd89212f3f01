/* base/span.h: the recorder of what takes time. Switched on and read by rlx/trace.h.
 *
 *   const uint64_t begin = span_begin();
 *   ... work ...
 *   span_end(begin, "compile", "bind", graph->name);
 *
 * Laws: switched off, a pair costs one relaxed load; switched on, it never fails and never waits
 * for anything but other recorders: what does not fit is counted. Spans of one thread nest. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Now, in nanoseconds; 0 while nothing is recorded. */
uint64_t span_begin(void);
/* Records what began then; nothing if that is 0. `category` and `name` are static strings (an
 * operation's name is one), `detail` is copied, cut to SPAN_DETAIL - 1 bytes. */
void span_end(uint64_t begin, const char *category, const char *name, const char *detail);

enum { SPAN_DETAIL = 96, SPAN_MOST = 1000000 };
typedef struct span_record {
  const char *category, *name;
  uint64_t begin, nanoseconds; /* begin: since the start of the recording */
  uint32_t thread;             /* 1 is the first that recorded something */
  char detail[SPAN_DETAIL];
} span_record;

void span_start(void); /* drops what an earlier recording holds */
void span_stop(void);
bool span_recording(void);
/* Only after span_stop. False past the end. */
bool span_at(size_t index, const span_record **out_record);
size_t span_lost(void); /* records for which there was no room */

#ifdef __cplusplus
}
#endif
#endif
