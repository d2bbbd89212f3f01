/* load/pb.c: varints, records and the table-driven decoder. */
#include "load/pb.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Wire type of one element, by pb_kind. */
static const uint8_t wire_of[] = {[PB_INT] = WIRE_VARINT,  [PB_F32] = WIRE_32,
                                  [PB_SPAN] = WIRE_BYTES,  [PB_SPANS] = WIRE_BYTES,
                                  [PB_INTS] = WIRE_VARINT, [PB_F32S] = WIRE_32,
                                  [PB_F64S] = WIRE_64};

/* --- the wire: each taker moves the span past what it took, and fails without reading beyond it */

static bool take_varint(pb_span *in, uint64_t *out) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (!in->n) return false;
    uint8_t b = *in->data++;
    in->n--;
    if (shift == 63 && b > 1) return false;
    v |= (uint64_t)(b & 127) << shift;
    if (b < 128) {
      *out = v;
      return true;
    }
  }
  return false;
}

static bool take_bytes(pb_span *in, uint64_t n, pb_span *out) {
  if (n > in->n) return false;
  *out = (pb_span){in->data, (size_t)n};
  in->data += n;
  in->n -= (size_t)n;
  return true;
}

static bool take_number(pb_span *in, unsigned wire, uint64_t *out) {
  if (wire == WIRE_VARINT) return take_varint(in, out);
  pb_span bytes;
  if (!take_bytes(in, wire == WIRE_32 ? 4 : 8, &bytes)) return false;
  uint64_t v = 0;
  for (size_t i = bytes.n; i-- > 0;) v = v << 8 | bytes.data[i];
  *out = v;
  return true;
}

typedef struct record {
  uint32_t field;
  uint8_t wire;
  uint64_t value; /* numbers */
  pb_span bytes;  /* WIRE_BYTES */
} record;

/* Groups, which no format of today uses, are refused like any unknown wire type. */
static bool take_record(pb_span *in, record *r) {
  uint64_t tag, n;
  if (!take_varint(in, &tag) || tag > UINT32_MAX || tag >> 3 == 0) return false;
  r->field = (uint32_t)(tag >> 3);
  r->wire = tag & 7;
  if (r->wire == WIRE_BYTES) return take_varint(in, &n) && take_bytes(in, n, &r->bytes);
  if (r->wire != WIRE_VARINT && r->wire != WIRE_64 && r->wire != WIRE_32) return false;
  return take_number(in, r->wire, &r->value);
}

/* --- decoding */

static const pb_field *find_field(const pb_message *type, uint32_t number) {
  for (size_t i = 0; i < type->n_fields; i++) {
    if (type->fields[i].number == number) return &type->fields[i];
  }
  return NULL;
}

/* Adds the record's elements to repeated numbers; false if a packed run is malformed. */
static bool count_numbers(pb_numbers *out, const record *r) {
  if (r->wire != WIRE_BYTES) {
    out->n++;
    return true;
  }
  pb_span run = r->bytes;
  uint64_t bits;
  while (run.n) {
    if (!take_number(&run, out->wire, &bits)) return false;
    out->n++;
  }
  return true;
}

/* First pass: single fields are stored, repeated ones counted. */
static bool store(const pb_field *f, pb_span message, const record *r, void *slot) {
  const uint8_t wire = wire_of[f->kind];
  const bool packed = f->kind >= PB_INTS && r->wire == WIRE_BYTES;
  if (r->wire != wire && !packed) return false;
  switch (f->kind) {
    case PB_INT: memcpy(slot, &r->value, sizeof(int64_t)); return true;
    case PB_F32: {
      uint32_t bits = (uint32_t)r->value;
      memcpy(slot, &bits, sizeof bits);
      return true;
    }
    case PB_SPAN: *(pb_span *)slot = r->bytes; return true;
    case PB_SPANS: ((pb_spans *)slot)->n++; return true;
    case PB_INTS:
    case PB_F32S:
    case PB_F64S: break;
  }
  pb_numbers *numbers = slot;
  numbers->message = message;
  numbers->field = f->number;
  numbers->wire = wire;
  return count_numbers(numbers, r);
}

/* Room for the repeated spans that were counted; the second pass counts again while it fills. */
static rlx_status make_room(const pb_message *type, arena *mem, void *out, bool *any) {
  for (size_t i = 0; i < type->n_fields; i++) {
    if (type->fields[i].kind != PB_SPANS) continue;
    pb_spans *spans = (pb_spans *)((char *)out + type->fields[i].offset);
    if (!spans->n) continue;
    spans->data = arena_new(mem, spans->n, sizeof *spans->data);
    if (!spans->data) return status_memory(spans->n * sizeof *spans->data);
    spans->n = 0;
    *any = true;
  }
  return RLX_OK;
}

rlx_status pb_decode(const pb_message *type, pb_span in, arena *mem, void *out) {
  record r;
  bool any = false;
  for (pb_span rest = in; rest.n;) {
    const size_t at = in.n - rest.n;
    if (!take_record(&rest, &r)) {
      return status_set(RLX_ERROR_FORMAT, "%s: malformed or cut off at byte %zu of %zu", type->name,
                        at, in.n);
    }
    const pb_field *f = find_field(type, r.field);
    if (f && !store(f, in, &r, (char *)out + f->offset)) {
      return status_set(RLX_ERROR_FORMAT, "%s: field %u at byte %zu has a wrong type or length",
                        type->name, r.field, at);
    }
  }
  RLX_TRY(make_room(type, mem, out, &any));
  if (!any) return RLX_OK;
  for (pb_span rest = in; rest.n && take_record(&rest, &r);) {
    const pb_field *f = find_field(type, r.field);
    if (!f || f->kind != PB_SPANS) continue;
    pb_spans *spans = (pb_spans *)((char *)out + f->offset);
    spans->data[spans->n++] = r.bytes;
  }
  return RLX_OK;
}

pb_reader pb_read(const pb_numbers *numbers) {
  return (pb_reader){numbers->message, {NULL, 0}, numbers->field, numbers->wire};
}

bool pb_next(pb_reader *r, uint64_t *out_bits) {
  record rec;
  while (!r->run.n) {
    if (!r->rest.n || !take_record(&r->rest, &rec)) return false;
    if (rec.field != r->field) continue;
    if (rec.wire != WIRE_BYTES) {
      *out_bits = rec.value;
      return true;
    }
    r->run = rec.bytes;
  }
  return take_number(&r->run, r->wire, out_bits);
}

rlx_status pb_text(pb_span in, arena *mem, const char **out_text) {
  if (in.n && memchr(in.data, 0, in.n)) {
    return status_set(RLX_ERROR_FORMAT, "a text holds a zero byte: '%.*s'...", 40,
                      (const char *)in.data);
  }
  char *text = arena_new(mem, in.n + 1, 1);
  if (!text) return status_memory(in.n + 1);
  if (in.n) memcpy(text, in.data, in.n);
  *out_text = text;
  return RLX_OK;
}

bool pb_equal(pb_span a, const char *text) {
  return strlen(text) == a.n && (!a.n || memcmp(a.data, text, a.n) == 0);
}
