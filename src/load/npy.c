/* load/npy.c: .npy files: magic, version, a Python dict as header, the elements.
 *
 * Laws: the header is read by hand, strictly and within a fixed size; what it announces must be
 * exactly what the file holds before memory is taken for it. */
#include "load/npy.h"

#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "load/raw.h"

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define MAX_HEADER 65536

/* What stands after the byte order. bf16 has no NumPy type: ml_dtypes writes its bits as 'V2'. */
static const struct {
  char text[4];
  rlx_dtype dtype;
} dtypes[] = {{"b1", RLX_BOOL}, {"u1", RLX_U8},  {"u2", RLX_U16}, {"u4", RLX_U32}, {"u8", RLX_U64},
              {"i1", RLX_I8},   {"i2", RLX_I16}, {"i4", RLX_I32}, {"i8", RLX_I64}, {"f2", RLX_F16},
              {"f4", RLX_F32},  {"f8", RLX_F64}, {"c8", RLX_C64}, {"V2", RLX_BF16}};
#define N_DTYPES (sizeof dtypes / sizeof dtypes[0])

/* --- the header */

typedef struct header {
  rlx_dtype dtype;
  bool swap, fortran;
  size_t rank;
  int64_t dims[RLX_MAX_RANK];
} header;

typedef struct text { /* the dict, terminated, and how far it has been read */
  const char *p;
} text;

static void skip_blanks(text *t) { t->p += strspn(t->p, " \t\r\n"); }

static bool take(text *t, const char *word) {
  skip_blanks(t);
  size_t n = strlen(word);
  if (strncmp(t->p, word, n) != 0) return false;
  t->p += n;
  return true;
}

static rlx_status expected(const text *t, const char *what) {
  return status_set(RLX_ERROR_FORMAT, "npy header: %s expected at '%.40s'", what, t->p);
}

/* A quoted text without escapes. */
static rlx_status read_quoted(text *t, char *out, size_t size) {
  skip_blanks(t);
  const char quote = *t->p;
  if (quote != '\'' && quote != '"') return expected(t, "a quoted text");
  size_t n = strcspn(t->p + 1, "'\"\\");
  if (t->p[1 + n] != quote || n >= size) return expected(t, "a short quoted text");
  memcpy(out, t->p + 1, n);
  out[n] = 0;
  t->p += n + 2;
  return RLX_OK;
}

static rlx_status read_descr(text *t, header *h) {
  char descr[16];
  skip_blanks(t);
  if (*t->p == '[' || *t->p == '(') {
    return status_set(RLX_ERROR_UNSUPPORTED, "npy: structured element type %.60s", t->p);
  }
  RLX_TRY(read_quoted(t, descr, sizeof descr));
  for (size_t i = 0; descr[0] && i < N_DTYPES; i++) {
    if (strcmp(descr + 1, dtypes[i].text) != 0 || !strchr("<>=|", descr[0])) continue;
    h->dtype = dtypes[i].dtype;
    h->swap = descr[0] == '>';
    return RLX_OK;
  }
  return status_set(RLX_ERROR_UNSUPPORTED, "npy: element type '%s'", descr);
}

static rlx_status read_flag(text *t, header *h) {
  h->fortran = take(t, "True");
  return h->fortran || take(t, "False") ? RLX_OK : expected(t, "True or False");
}

static rlx_status read_dim(text *t, int64_t *out) {
  int64_t v = 0;
  skip_blanks(t);
  if (*t->p < '0' || *t->p > '9') return expected(t, "a size");
  for (; *t->p >= '0' && *t->p <= '9'; t->p++) {
    if (!size_mul(v, 10, &v) || !size_add(v, *t->p - '0', &v)) return expected(t, "a smaller size");
  }
  *out = v;
  return RLX_OK;
}

static rlx_status read_shape(text *t, header *h) {
  if (!take(t, "(")) return expected(t, "'('");
  bool comma = true;
  while (!take(t, ")")) {
    if (!comma) return expected(t, "','");
    if (h->rank == RLX_MAX_RANK) {
      return status_set(RLX_ERROR_LIMIT, "npy: more than %d dims", RLX_MAX_RANK);
    }
    RLX_TRY(read_dim(t, &h->dims[h->rank++]));
    comma = take(t, ",");
  }
  /* "(3)" is a number in Python, not a tuple. */
  return h->rank == 1 && !comma ? expected(t, "a tuple") : RLX_OK;
}

static rlx_status parse_header(text *t, header *h) {
  static const struct {
    const char *key;
    rlx_status (*read)(text *t, header *h);
  } keys[] = {{"descr", read_descr}, {"fortran_order", read_flag}, {"shape", read_shape}};
  bool seen[3] = {false, false, false}, comma = true;
  if (!take(t, "{")) return expected(t, "'{'");
  while (!take(t, "}")) {
    char key[16];
    size_t k = 0;
    if (!comma) return expected(t, "','");
    RLX_TRY(read_quoted(t, key, sizeof key));
    while (k < 3 && strcmp(keys[k].key, key) != 0) k++;
    if (k == 3 || seen[k]) return status_set(RLX_ERROR_FORMAT, "npy header: key '%s'", key);
    if (!take(t, ":")) return expected(t, "':'");
    seen[k] = true;
    RLX_TRY(keys[k].read(t, h));
    comma = take(t, ",");
  }
  if (!seen[0] || !seen[1] || !seen[2]) {
    return status_set(RLX_ERROR_FORMAT, "npy header: descr, fortran_order or shape is missing");
  }
  skip_blanks(t);
  return *t->p ? expected(t, "the end") : RLX_OK;
}

static rlx_status read_header(npy_source *s, header *h) {
  uint8_t start[8], length[4] = {0};
  RLX_TRY(s->read(s, start, sizeof start));
  if (!npy_is(start, sizeof start)) return status_set(RLX_ERROR_FORMAT, "not a .npy file");
  if (start[6] < 1 || start[6] > 3) {
    return status_set(RLX_ERROR_UNSUPPORTED, "npy: format version %d.%d", start[6], start[7]);
  }
  RLX_TRY(s->read(s, length, start[6] == 1 ? 2 : 4));
  uint32_t n = length[0] | (uint32_t)length[1] << 8 | (uint32_t)length[2] << 16 |
               (uint32_t)length[3] << 24;
  if (n > MAX_HEADER) {
    return status_set(RLX_ERROR_LIMIT, "npy: a header of %u bytes, the limit is %d", n, MAX_HEADER);
  }
  char *dict = mem_new(n + 1, 1);
  if (!dict) return status_memory(n + 1);
  rlx_status status = s->read(s, dict, n);
  if (status == RLX_OK && strlen(dict) != n) {
    status = status_set(RLX_ERROR_FORMAT, "npy header: a zero byte");
  }
  if (status == RLX_OK) status = parse_header(&(text){dict}, h);
  mem_free(dict);
  return status;
}

/* --- the elements */

static void swap_bytes(rlx_tensor *t) {
  const size_t width = t->dtype == RLX_C64 ? 4 : dtype_bytes(t->dtype);
  uint8_t *v = t->data;
  for (size_t i = 0; i < t->bytes; i += width) {
    for (size_t a = i, b = i + width - 1; a < b; a++, b--) {
      const uint8_t byte = v[a];
      v[a] = v[b];
      v[b] = byte;
    }
  }
}

/* `from` holds the elements with the first axis running fastest; `to` gets them row-major. */
static void reorder(const rlx_tensor *from, rlx_tensor *to) {
  const size_t width = dtype_bytes(to->dtype);
  int64_t coord[RLX_MAX_RANK] = {0}, stride[RLX_MAX_RANK], at = 0;
  int64_t step = 1;
  for (uint32_t i = 0; i < to->rank; i++) {
    stride[i] = step;
    step *= to->dims[i];
  }
  for (int64_t i = 0; i < to->count; i++) {
    const uint8_t *element = (const uint8_t *)from->data + (size_t)at * width;
    memcpy((uint8_t *)to->data + (size_t)i * width, element, width);
    for (uint32_t axis = to->rank; axis-- > 0;) {
      at += stride[axis];
      if (++coord[axis] < to->dims[axis]) break;
      at -= stride[axis] * to->dims[axis];
      coord[axis] = 0;
    }
  }
}

static rlx_status make_row_major(rlx_tensor **tensor) {
  rlx_tensor *from = *tensor, *to;
  RLX_TRY(rlx_tensor_create(from->dtype, from->rank, from->dims, &to));
  reorder(from, to);
  rlx_tensor_free(from);
  *tensor = to;
  return RLX_OK;
}

static rlx_status read_elements(npy_source *s, const header *h, rlx_tensor **out_tensor) {
  int64_t count;
  size_t bytes;
  if (!tensor_size(h->dtype, h->rank, h->dims, &count, &bytes)) {
    return status_set(RLX_ERROR_FORMAT, "npy: more elements than memory can hold");
  }
  if (bytes != s->bytes - s->at) {
    return status_set(RLX_ERROR_FORMAT, "npy: %llu bytes of elements, dtype and shape make %zu",
                      (unsigned long long)(s->bytes - s->at), bytes);
  }
  rlx_tensor *t;
  RLX_TRY(rlx_tensor_create(h->dtype, h->rank, h->dims, &t));
  rlx_status status = s->read(s, t->data, bytes);
  if (status == RLX_OK && h->swap) swap_bytes(t);
  if (status == RLX_OK && h->fortran && h->rank > 1) status = make_row_major(&t);
  if (status != RLX_OK) {
    rlx_tensor_free(t);
    return status;
  }
  raw_clean_bools(t);
  *out_tensor = t;
  return RLX_OK;
}

bool npy_is(const uint8_t *start, size_t n) {
  return n >= MAGIC_BYTES && memcmp(start, MAGIC, MAGIC_BYTES) == 0;
}

rlx_status npy_read(npy_source *s, rlx_tensor **out_tensor) {
  header h = {0};
  RLX_TRY(read_header(s, &h));
  return read_elements(s, &h, out_tensor);
}

/* --- writing */

static rlx_status add_descr(const rlx_tensor *t, str *out) {
  for (size_t i = 0; i < N_DTYPES; i++) {
    if (dtypes[i].dtype != t->dtype) continue;
    str_addf(out, "%c%s", dtype_bytes(t->dtype) == 1 ? '|' : '<', dtypes[i].text);
    return RLX_OK;
  }
  return status_set(RLX_ERROR_UNSUPPORTED, "npy has no element type for %s", dtype_name(t->dtype));
}

rlx_status npy_header(const rlx_tensor *t, str *out) {
  str dict = {NULL, 0, 0, false};
  str_add(&dict, "{'descr': '");
  rlx_status status = add_descr(t, &dict);
  str_add(&dict, "', 'fortran_order': False, 'shape': (");
  for (uint32_t i = 0; i < t->rank; i++) {
    str_addf(&dict, "%s%lld%s", i ? " " : "", (long long)t->dims[i],
             i + 1 < t->rank || t->rank == 1 ? "," : "");
  }
  str_add(&dict, "), }");
  while ((MAGIC_BYTES + 4 + dict.n + 1) % 64 && !dict.failed) str_add(&dict, " ");
  str_add(&dict, "\n");
  str_add_n(out, MAGIC "\x01", MAGIC_BYTES + 2);
  str_add_n(out, (const char[]){(char)(dict.n & 255), (char)(dict.n >> 8)}, 2);
  if (!dict.failed) str_add_n(out, dict.data, dict.n);
  if (status == RLX_OK && (dict.failed || out->failed)) status = status_memory(dict.cap);
  str_free(&dict);
  return status;
}

/* --- files */

static rlx_status read_mapped(npy_source *s, void *buf, size_t n) {
  const io_map *file = s->ctx;
  if (n > file->bytes - s->at) return status_set(RLX_ERROR_FORMAT, "npy: the file is cut off");
  if (n) memcpy(buf, file->data + s->at, n);
  s->at += n;
  return RLX_OK;
}

rlx_status rlx_tensor_load_npy(const char *path, rlx_tensor **out_tensor) {
  if (!path || !out_tensor) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensor_load_npy: path or out_tensor is NULL");
  }
  *out_tensor = NULL;
  io_map *file;
  RLX_TRY(io_map_open(path, 0, &file));
  npy_source s = {.read = read_mapped, .bytes = file->bytes, .ctx = file};
  rlx_status status = npy_read(&s, out_tensor);
  io_map_free(file);
  return status == RLX_OK ? status : status_at(status, "%s", path);
}

rlx_status rlx_tensor_save_npy(const rlx_tensor *tensor, const char *path) {
  if (!tensor || !path) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensor_save_npy: tensor or path is NULL");
  }
  str head = {NULL, 0, 0, false};
  rlx_status status = npy_header(tensor, &head);
  if (status != RLX_OK) status = status_at(status, "%s", path);
  else status = io_write_file(path, &head, tensor->data, tensor->bytes);
  str_free(&head);
  return status;
}
