/* exec/trace.c: recordings as the public API shows them (rlx/trace.h). */
#include <rlx/trace.h>

#include "base/io.h"
#include "base/span.h"
#include "base/str.h"

rlx_status rlx_trace_start(void) {
  if (span_recording()) return status_set(RLX_ERROR_STATE, "a trace is being recorded already");
  span_start();
  return RLX_OK;
}

bool rlx_trace_at(size_t index, rlx_trace_event *out_event) {
  const span_record *r;
  if (span_recording() || !span_at(index, &r)) return false;
  if (out_event) {
    *out_event = (rlx_trace_event){.category = r->category,
                                   .name = r->name,
                                   .detail = r->detail,
                                   .thread = r->thread,
                                   .start_us = (double)r->begin / 1e3,
                                   .us = (double)r->nanoseconds / 1e3};
  }
  return true;
}

/* Nanoseconds as microseconds, whatever the locale's decimal point is. */
static void add_time(str *s, const char *key, uint64_t ns) {
  str_addf(s, ",\"%s\":%llu.%03u", key, (unsigned long long)(ns / 1000), (unsigned)(ns % 1000));
}

/* A complete event ("X") of Chrome's trace format. */
static void add_event(str *s, const span_record *r) {
  str_add(s, "{\"ph\":\"X\",\"pid\":1,\"name\":");
  (void)str_add_json(s, r->name);
  str_addf(s, ",\"cat\":\"%s\",\"tid\":%u", r->category, (unsigned)r->thread);
  add_time(s, "ts", r->begin);
  add_time(s, "dur", r->nanoseconds);
  if (*r->detail) {
    str_add(s, ",\"args\":{\"detail\":");
    (void)str_add_json(s, r->detail); /* what is not UTF-8 in it is replaced */
    str_add(s, "}");
  }
  str_add(s, "}");
}

static rlx_status write_events(const char *path) {
  io_write *to;
  const span_record *r;
  str line = {NULL, 0, 0, false};
  RLX_TRY(io_write_open(path, &to));
  str_add(&line, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
  for (size_t i = 0; span_at(i, &r); i++) {
    str_add(&line, i ? ",\n" : "\n");
    add_event(&line, r);
    io_write_bytes(to, line.data, line.n);
    line.n = 0;
  }
  str_addf(&line, "\n],\"otherData\":{\"lost\":%zu}}\n", span_lost());
  io_write_bytes(to, line.data, line.n);
  const bool failed = line.failed;
  str_free(&line);
  if (!failed) return io_write_commit(to);
  io_write_abort(to);
  return status_memory(0);
}

rlx_status rlx_trace_stop(const char *path) {
  if (!span_recording()) return status_set(RLX_ERROR_STATE, "no trace is being recorded");
  span_stop();
  return path ? write_events(path) : RLX_OK;
}
