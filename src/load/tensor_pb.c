/* load/tensor_pb.c: all encodings of TensorProto, and the .pb files that hold one.
 *
 * Laws: memory is taken only for as many elements as the file holds. */
#include "load/tensor_pb.h"

#include <string.h>

#include "base/str.h"
#include "load/raw.h"
#include "ops/onnx.h"

/* --- element types */

typedef struct encoding {
  const char *name; /* ONNX's */
  size_t field;     /* where its numbers are if they are not raw: offset in proto_tensor */
  size_t numbers_per_element;
} encoding;

#define E(name, field) {name, offsetof(proto_tensor, field), 1}
#define NONE(name) {name, 0, 1}
static const encoding encodings[] = { /* by TensorProto.DataType */
    NONE("UNDEFINED"),
    E("FLOAT", float_data),
    E("UINT8", int32_data),
    E("INT8", int32_data),
    E("UINT16", int32_data),
    E("INT16", int32_data),
    E("INT32", int32_data),
    E("INT64", int64_data),
    NONE("STRING"),
    E("BOOL", int32_data),
    E("FLOAT16", int32_data),
    E("DOUBLE", double_data),
    E("UINT32", uint64_data),
    E("UINT64", uint64_data),
    {"COMPLEX64", offsetof(proto_tensor, float_data), 2},
    {"COMPLEX128", offsetof(proto_tensor, double_data), 2},
    E("BFLOAT16", int32_data),
    E("FLOAT8E4M3FN", int32_data),
    E("FLOAT8E4M3FNUZ", int32_data),
    E("FLOAT8E5M2", int32_data),
    E("FLOAT8E5M2FNUZ", int32_data),
    E("UINT4", int32_data),
    E("INT4", int32_data),
    E("FLOAT4E2M1", int32_data),
    E("FLOAT8E8M0", int32_data),
    E("UINT2", int32_data),
    E("INT2", int32_data),
};
#undef E
#undef NONE
#define N_ENCODINGS ((int64_t)(sizeof encodings / sizeof encodings[0]))

rlx_dtype tensor_pb_dtype(int64_t code) {
  rlx_dtype dtype;
  const bool known = code >= 0 && code < N_ENCODINGS && onnx_dtype(code, &dtype) == RLX_OK;
  return known ? dtype : RLX_DTYPE_COUNT;
}

const char *tensor_pb_dtype_text(int64_t code) {
  rlx_dtype dtype = tensor_pb_dtype(code);
  if (dtype != RLX_DTYPE_COUNT) return dtype_name(dtype);
  return code >= 0 && code < N_ENCODINGS ? encodings[code].name : "unknown dtype";
}

/* The code of a dtype, 0 if ONNX has none. */
static int64_t code_of(rlx_dtype dtype) {
  for (int64_t code = 1; code < N_ENCODINGS; code++) {
    if (tensor_pb_dtype(code) == dtype) return code;
  }
  return 0;
}

rlx_status tensor_pb_unsupported(int64_t code) {
  return status_set(RLX_ERROR_UNSUPPORTED, "element type %s (%lld)", tensor_pb_dtype_text(code),
                    (long long)code);
}

/* --- reading */

typedef struct layout { /* dtype and shape, checked */
  rlx_dtype dtype;
  const encoding *encoding;
  size_t rank, bytes;
  int64_t count, dims[RLX_MAX_RANK];
} layout;

static rlx_status read_layout(const proto_tensor *p, layout *l) {
  l->dtype = tensor_pb_dtype(p->dtype);
  if (l->dtype == RLX_DTYPE_COUNT) return tensor_pb_unsupported(p->dtype);
  l->encoding = &encodings[p->dtype];
  if (p->dims.n > RLX_MAX_RANK) {
    return status_set(RLX_ERROR_LIMIT, "%zu dims, at most %d are possible", p->dims.n,
                      RLX_MAX_RANK);
  }
  l->rank = p->dims.n;
  uint64_t bits;
  pb_reader r = pb_read(&p->dims);
  for (size_t i = 0; pb_next(&r, &bits); i++) l->dims[i] = (int64_t)bits;
  if (!tensor_size(l->dtype, l->rank, l->dims, &l->count, &l->bytes)) {
    return status_set(RLX_ERROR_FORMAT, "a negative dim or more elements than memory can hold");
  }
  return RLX_OK;
}

/* Elements that stand as numbers in a typed field. All hosts that we know are little-endian, so the
 * low bytes of a number come first. */
static rlx_status read_numbers(const proto_tensor *p, const layout *l, rlx_tensor **out_tensor) {
  const encoding *e = l->encoding;
  const pb_numbers *numbers = (const pb_numbers *)((const char *)p + e->field);
  if (numbers->n % e->numbers_per_element ||
      (uint64_t)l->count != numbers->n / e->numbers_per_element) {
    return status_set(RLX_ERROR_FORMAT, "%zu numbers of data, the shape has %lld elements",
                      numbers->n, (long long)l->count);
  }
  RLX_TRY(rlx_tensor_create(l->dtype, l->rank, l->dims, out_tensor));
  const size_t step = dtype_bytes(l->dtype) / e->numbers_per_element;
  uint8_t *to = (*out_tensor)->data;
  uint64_t bits;
  for (pb_reader r = pb_read(numbers); pb_next(&r, &bits); to += step) memcpy(to, &bits, step);
  raw_clean_bools(*out_tensor);
  return RLX_OK;
}

static rlx_status read_size(pb_span text, const char *key, size_t *out_size) {
  int64_t v = 0;
  bool ok = text.n > 0;
  for (size_t i = 0; ok && i < text.n; i++) {
    ok = text.data[i] >= '0' && text.data[i] <= '9' && size_mul(v, 10, &v) &&
         size_add(v, text.data[i] - '0', &v);
  }
  if (!ok) return status_set(RLX_ERROR_FORMAT, "external data: '%s' is not a size", key);
  *out_size = (size_t)v;
  return RLX_OK;
}

static rlx_status read_external(const proto_tensor *p, const layout *l, external_files *external,
                                arena *mem, bool copy, rlx_tensor **out_tensor) {
  const char *location = "";
  size_t offset = 0, length = l->bytes;
  for (size_t i = 0; i < p->external.n; i++) {
    proto_entry entry = {0};
    RLX_TRY(pb_decode(&proto_entry_table, p->external.data[i], mem, &entry));
    if (pb_equal(entry.key, "location")) RLX_TRY(pb_text(entry.value, mem, &location));
    if (pb_equal(entry.key, "offset")) RLX_TRY(read_size(entry.value, "offset", &offset));
    if (pb_equal(entry.key, "length")) RLX_TRY(read_size(entry.value, "length", &length));
  }
  io_map *file;
  RLX_TRY(external_open(external, location, &file));
  if (offset > file->bytes || length > file->bytes - offset) {
    return status_set(RLX_ERROR_FORMAT, "external data '%s': %zu bytes at %zu, the file has %zu",
                      location, length, offset, file->bytes);
  }
  return raw_tensor(copy ? NULL : file, l->dtype, l->rank, l->dims, file->data + offset,
                    length, out_tensor);
}

static rlx_status make(const proto_tensor *p, io_map *file, external_files *external, arena *mem,
                       rlx_tensor **out_tensor) {
  layout l;
  RLX_TRY(read_layout(p, &l));
  if (p->segment.data) return status_set(RLX_ERROR_UNSUPPORTED, "data in segments");
  if (p->location == PROTO_EXTERNAL) {
    return read_external(p, &l, external, mem, file == NULL, out_tensor);
  }
  if (p->raw.data) {
    return raw_tensor(file, l.dtype, l.rank, l.dims, p->raw.data, p->raw.n, out_tensor);
  }
  return read_numbers(p, &l, out_tensor);
}

rlx_status tensor_pb_make(const proto_tensor *p, io_map *file, external_files *external, arena *mem,
                          rlx_tensor **out_tensor) {
  rlx_status status = make(p, file, external, mem, out_tensor);
  if (status == RLX_OK) return RLX_OK;
  int n = p->name.n < 200 ? (int)p->name.n : 200;
  return status_at(status, "tensor '%.*s'", n, n ? (const char *)p->name.data : "");
}

rlx_status tensor_pb_read(pb_span in, io_map *file, external_files *external, arena *mem,
                          rlx_tensor **out_tensor) {
  proto_tensor p = {0};
  RLX_TRY(pb_decode(&proto_tensor_table, in, mem, &p));
  return tensor_pb_make(&p, file, external, mem, out_tensor);
}

static rlx_status load(const char *path, arena *mem, rlx_tensor **out_tensor, char **out_name) {
  external_files external = {.model_path = path};
  io_map *file = NULL;
  proto_tensor p = {0};
  const char *name = "";
  rlx_status status = RLX_OK;
  RLX_TRY_OR_FAIL(io_map_open(path, 0, &file));
  RLX_TRY_OR_FAIL(pb_decode(&proto_tensor_table, (pb_span){file->data, file->bytes}, mem, &p));
  RLX_TRY_OR_FAIL(pb_text(p.name, mem, &name));
  RLX_TRY_OR_FAIL(tensor_pb_make(&p, NULL, &external, mem, out_tensor));
  if (!out_name) goto fail;
  *out_name = mem_strdup(name);
  if (*out_name) goto fail;
  rlx_tensor_free(*out_tensor);
  *out_tensor = NULL;
  status = status_memory(strlen(name) + 1);
fail:
  external_free(&external);
  io_map_free(file);
  return status;
}

rlx_status rlx_tensor_load_pb(const char *path, rlx_tensor **out_tensor, char **out_name) {
  if (!path || !out_tensor) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensor_load_pb: path or out_tensor is NULL");
  }
  *out_tensor = NULL;
  if (out_name) *out_name = NULL;
  arena mem = {0};
  rlx_status status = load(path, &mem, out_tensor, out_name);
  arena_free(&mem);
  return status == RLX_OK || status == RLX_ERROR_IO ? status : status_at(status, "%s", path);
}

/* --- writing */

static void add_varint(str *s, uint64_t v) {
  for (; v > 127; v >>= 7) str_add_n(s, (const char[]){(char)((v & 127) | 128)}, 1);
  str_add_n(s, (const char[]){(char)v}, 1);
}

static void add_int(str *s, unsigned field, uint64_t v) {
  add_varint(s, field << 3);
  add_varint(s, v);
}

static void add_length(str *s, unsigned field, size_t n) {
  add_varint(s, field << 3 | 2);
  add_varint(s, n);
}

rlx_status rlx_tensor_save_pb(const rlx_tensor *tensor, const char *name, const char *path) {
  if (!tensor || !path) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensor_save_pb: tensor or path is NULL");
  }
  const int64_t code = code_of(tensor->dtype);
  if (!code) {
    return status_set(RLX_ERROR_UNSUPPORTED, "%s: ONNX has no element type for %s", path,
                      dtype_name(tensor->dtype));
  }
  if (tensor->bytes > INT32_MAX - 4096) {
    return status_set(RLX_ERROR_LIMIT, "%s: %zu bytes, protobuf files end at 2 GiB", path,
                      tensor->bytes);
  }
  str head = {NULL, 0, 0, false};
  for (uint32_t i = 0; i < tensor->rank; i++) add_int(&head, 1, (uint64_t)tensor->dims[i]);
  add_int(&head, 2, (uint64_t)code);
  if (name && name[0]) {
    add_length(&head, 8, strlen(name));
    str_add(&head, name);
  }
  add_length(&head, 9, tensor->bytes);
  const rlx_status status = io_write_file(path, &head, tensor->data, tensor->bytes);
  str_free(&head);
  return status;
}
