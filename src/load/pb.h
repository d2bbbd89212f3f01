/* load/pb.h: the protobuf wire format, read in place, one message at a time.
 *
 * A message is described by a table of the fields that its reader wants; pb_decode fills a struct
 * from it. Texts, bytes and sub-messages stay spans of the input, repeated numbers stay encoded
 * until they are asked for, so nothing is copied, and nothing recurses: the reader of a message
 * decides which spans to open.
 *
 * Laws: no byte outside the span is read; every length is checked against what is left; memory is
 * bounded by 16 bytes for each element of a repeated field that the file really holds. */
#ifndef LOAD_PB_H
#define LOAD_PB_H

#include "base/mem.h"
#include "base/status.h"

typedef struct pb_span {
  const uint8_t *data; /* NULL: the field is missing */
  size_t n;
} pb_span;
typedef struct pb_spans {
  pb_span *data;
  size_t n;
} pb_spans;
typedef struct pb_numbers { /* checked by pb_decode, read by pb_next */
  pb_span message;
  uint32_t field;
  uint8_t wire;
  size_t n;
} pb_numbers;

typedef enum pb_kind {
  PB_INT,   /* int64_t: any varint type; of several the last one counts */
  PB_F32,   /* float; likewise */
  PB_SPAN,  /* pb_span: text, bytes or message; likewise */
  PB_SPANS, /* pb_spans: repeated text, bytes or message */
  PB_INTS,  /* pb_numbers: repeated, packed or not */
  PB_F32S,
  PB_F64S
} pb_kind;
typedef struct pb_field {
  uint32_t number;
  pb_kind kind;
  size_t offset; /* in the struct */
} pb_field;
typedef struct pb_message {
  const char *name; /* for error sentences */
  const pb_field *fields;
  size_t n_fields;
} pb_message;

/* Fills *out, a struct as `type` says, which the caller has initialised: single fields that are
 * missing keep their value. Fields that the table does not name are skipped.
 * Errors: RLX_ERROR_FORMAT, RLX_ERROR_MEMORY. */
rlx_status pb_decode(const pb_message *type, pb_span in, arena *mem, void *out);

/* Walks repeated numbers: the bits of each (floats as their bit pattern). */
typedef struct pb_reader {
  pb_span rest, run; /* of the message, of the packed run */
  uint32_t field;
  uint8_t wire;
} pb_reader;
pb_reader pb_read(const pb_numbers *numbers);
bool pb_next(pb_reader *r, uint64_t *out_bits); /* false after the last */

/* The span as a terminated text in the arena ("" if missing); a zero byte inside is malformed. */
rlx_status pb_text(pb_span in, arena *mem, const char **out_text);
bool pb_equal(pb_span a, const char *text);

#endif
