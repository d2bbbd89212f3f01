/* load/npz.c: .npz files: zip archives of .npy members, by libzip (which knows zip64).
 *
 * Laws: a member's name is the array's name plus ".npy", whatever else is in it; members that are
 * no arrays are passed over. Sizes are bounded before memory is taken: a member by what deflate can
 * make of its packed bytes and by its own npy header, the packed bytes of all by the file's size
 * (members may not share them), the unpacked bytes of all by a fixed limit. */
#include <string.h>
#include <zip.h>

#include "base/io.h"
#include "base/mem.h"
#include "load/npy.h"

#define SUFFIX ".npy"
#define SUFFIX_BYTES 4
#define MAX_MEMBERS 1000000
#define MAX_BYTES (UINT64_C(64) << 30) /* unpacked, all together */
#define DEFLATE_RATIO 1032             /* deflate never packs tighter */

/* --- reading */

typedef struct member {
  zip_file_t *file;
  zip_stat_t stat;
  uint8_t start[8]; /* bytes already taken from the file */
  size_t peeked, given;
} member;

static rlx_status unpack(zip_file_t *file, void *buf, size_t n) {
  for (size_t done = 0; done < n;) {
    zip_int64_t got = zip_fread(file, (char *)buf + done, n - done);
    if (got <= 0) {
      return status_set(RLX_ERROR_FORMAT, "%s",
                        got < 0 ? zip_error_strerror(zip_file_get_error(file)) : "it is cut off");
    }
    done += (size_t)got;
  }
  return RLX_OK;
}

static rlx_status read_member_bytes(npy_source *s, void *buf, size_t n) {
  member *m = s->ctx;
  char *to = buf;
  size_t head = m->peeked - m->given < n ? m->peeked - m->given : n;
  if (n > s->bytes - s->at) return status_set(RLX_ERROR_FORMAT, "it is cut off");
  if (head) memcpy(to, m->start + m->given, head);
  m->given += head;
  s->at += n;
  return unpack(m->file, to + head, n - head);
}

static bool has_suffix(const char *name, size_t n) {
  return n >= SUFFIX_BYTES && memcmp(name + n - SUFFIX_BYTES, SUFFIX, SUFFIX_BYTES) == 0;
}

/* The array of an opened member, NULL if it is none. Reading on past the data has libzip check the
 * member's checksum. */
static rlx_status read_array(member *m, const char *name, rlx_tensor **out_tensor) {
  m->peeked = m->stat.size < sizeof m->start ? (size_t)m->stat.size : sizeof m->start;
  RLX_TRY(unpack(m->file, m->start, m->peeked));
  if (!npy_is(m->start, m->peeked) && !has_suffix(name, strlen(name))) return RLX_OK;
  npy_source s = {.read = read_member_bytes, .bytes = m->stat.size, .ctx = m};
  RLX_TRY(npy_read(&s, out_tensor));
  char more;
  zip_int64_t got = zip_fread(m->file, &more, 1);
  if (got == 0) return RLX_OK;
  rlx_tensor_free(*out_tensor);
  *out_tensor = NULL;
  return status_set(RLX_ERROR_FORMAT, "%s",
                    got < 0 ? zip_error_strerror(zip_file_get_error(m->file)) : "it is too long");
}

typedef struct budget { /* bytes that the members not yet seen may have */
  uint64_t packed, unpacked;
} budget;

static rlx_status check_member(const zip_stat_t *stat, budget *left) {
  const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if ((stat->valid & wanted) != wanted) {
    return status_set(RLX_ERROR_FORMAT, "the archive does not give its size");
  }
  if (stat->comp_method != ZIP_CM_STORE && stat->comp_method != ZIP_CM_DEFLATE) {
    return status_set(RLX_ERROR_UNSUPPORTED, "compression method %d", (int)stat->comp_method);
  }
  if (stat->comp_size < stat->size / DEFLATE_RATIO) {
    return status_set(RLX_ERROR_FORMAT, "%llu bytes cannot hold %llu",
                      (unsigned long long)stat->comp_size, (unsigned long long)stat->size);
  }
  if (stat->comp_size > left->packed) {
    return status_set(RLX_ERROR_FORMAT, "the members have more bytes than the file");
  }
  if (stat->size > left->unpacked) {
    return status_set(RLX_ERROR_LIMIT, "the arrays have more than %llu bytes",
                      (unsigned long long)MAX_BYTES);
  }
  left->packed -= stat->comp_size;
  left->unpacked -= stat->size;
  return RLX_OK;
}

static rlx_status keep_array(const char *member_name, rlx_tensor *t, rlx_tensors *out) {
  size_t n = strlen(member_name);
  char *name = mem_strdup(member_name);
  if (!name) return status_memory(n + 1);
  if (has_suffix(name, n)) name[n - SUFFIX_BYTES] = 0;
  rlx_status status = rlx_tensors_get(out, name)
                          ? status_set(RLX_ERROR_FORMAT, "there are two arrays '%s'", name)
                          : rlx_tensors_set(out, name, t);
  mem_free(name);
  return status;
}

static rlx_status read_member(zip_t *zip, zip_uint64_t index, const char *name, budget *left,
                              rlx_tensors *out) {
  member m = {NULL};
  rlx_tensor *t = NULL;
  if (zip_stat_index(zip, index, 0, &m.stat) != 0) {
    return status_set(RLX_ERROR_FORMAT, "%s", zip_strerror(zip));
  }
  RLX_TRY(check_member(&m.stat, left));
  m.file = zip_fopen_index(zip, index, 0);
  if (!m.file) return status_set(RLX_ERROR_FORMAT, "%s", zip_strerror(zip));
  rlx_status status = read_array(&m, name, &t);
  if (status == RLX_OK && t) status = keep_array(name, t, out);
  rlx_tensor_free(t);
  zip_fclose(m.file);
  return status;
}

static rlx_status read_members(zip_t *zip, uint64_t file_bytes, rlx_tensors *out) {
  budget left = {file_bytes, MAX_BYTES};
  zip_int64_t n = zip_get_num_entries(zip, 0);
  if (n > MAX_MEMBERS) {
    return status_set(RLX_ERROR_LIMIT, "%lld members, the limit is %d", (long long)n, MAX_MEMBERS);
  }
  for (zip_int64_t i = 0; i < n; i++) {
    const char *name = zip_get_name(zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
    if (!name) return status_set(RLX_ERROR_FORMAT, "%s", zip_strerror(zip));
    rlx_status status = read_member(zip, (zip_uint64_t)i, name, &left, out);
    if (status != RLX_OK) return status_at(status, "member '%.200s'", name);
  }
  return RLX_OK;
}

static rlx_status read_archive(const io_map *file, rlx_tensors *out) {
  /* libzip takes an empty file for an archive without members. */
  if (!file->bytes) return status_set(RLX_ERROR_FORMAT, "the file is empty");
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_buffer_create(file->data, file->bytes, 0, &error);
  zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
  rlx_status status = zip ? read_members(zip, file->bytes, out)
                          : status_set(RLX_ERROR_FORMAT, "%s", zip_error_strerror(&error));
  if (zip) {
    zip_discard(zip);
  } else {
    zip_source_free(source);
  }
  zip_error_fini(&error);
  return status;
}

rlx_status rlx_tensors_load_npz(const char *path, rlx_tensors **out_tensors) {
  if (!path || !out_tensors) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensors_load_npz: path or out_tensors is NULL");
  }
  *out_tensors = NULL;
  io_map *file;
  rlx_tensors *list = NULL;
  RLX_TRY(io_map_open(path, 0, &file));
  rlx_status status = rlx_tensors_create(&list);
  if (status == RLX_OK) status = read_archive(file, list);
  io_map_free(file);
  if (status != RLX_OK) {
    rlx_tensors_free(list);
    return status_at(status, "%s", path);
  }
  *out_tensors = list;
  return RLX_OK;
}

/* --- writing: libzip writes aside and renames, too */

static rlx_status add_member(zip_t *zip, const char *name, const rlx_tensor *t, const str *head) {
  str member_name = {NULL, 0, 0, false};
  str_addf(&member_name, "%s" SUFFIX, name);
  if (member_name.failed) return status_memory(member_name.cap);
  zip_buffer_fragment_t parts[] = {{(zip_uint8_t *)head->data, head->n}, {t->data, t->bytes}};
  zip_source_t *source = zip_source_buffer_fragment_create(parts, t->bytes ? 2 : 1, 0, NULL);
  zip_int64_t index = source ? zip_file_add(zip, member_name.data, source, ZIP_FL_ENC_GUESS) : -1;
  str_free(&member_name);
  if (index < 0) {
    zip_source_free(source); /* NULL is fine */
    return status_set(RLX_ERROR_IO, "member '%.200s': %s", name, zip_strerror(zip));
  }
  /* Stored, as numpy.savez does, and with a fixed date, so that equal arrays make equal files. */
  const zip_uint16_t first_day = 1 << 5 | 1;
  if (zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
      zip_file_set_dostime(zip, (zip_uint64_t)index, 0, first_day, 0) == 0) {
    return RLX_OK;
  }
  return status_set(RLX_ERROR_IO, "member '%.200s': %s", name, zip_strerror(zip));
}

/* `heads` must live until the archive is closed. */
static rlx_status add_members(zip_t *zip, const rlx_tensors *tensors, str *heads) {
  for (size_t i = 0; i < rlx_tensors_count(tensors); i++) {
    const rlx_tensor *t = rlx_tensors_at(tensors, i);
    rlx_status status = npy_header(t, &heads[i]);
    if (status == RLX_OK) status = add_member(zip, rlx_tensors_name(tensors, i), t, &heads[i]);
    if (status != RLX_OK) return status;
  }
  return RLX_OK;
}

static rlx_status write_archive(const char *path, const rlx_tensors *tensors, str *heads) {
  int code = 0;
  zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (!zip) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    rlx_status status = status_set(RLX_ERROR_IO, "%s", zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
  }
  rlx_status status = add_members(zip, tensors, heads);
  if (status == RLX_OK) {
    if (zip_close(zip) == 0) return RLX_OK;
    status = status_set(RLX_ERROR_IO, "%s", zip_strerror(zip));
  }
  zip_discard(zip);
  return status;
}

rlx_status rlx_tensors_save_npz(const rlx_tensors *tensors, const char *path) {
  if (!tensors || !path) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensors_save_npz: tensors or path is NULL");
  }
  const size_t n = rlx_tensors_count(tensors);
  if (n == 0) return status_set(RLX_ERROR_ARGUMENT, "%s: there are no tensors to save", path);
  str *heads = mem_new(n, sizeof *heads);
  if (!heads) return status_memory(n * sizeof *heads);
  rlx_status status = write_archive(path, tensors, heads);
  for (size_t i = 0; i < n; i++) str_free(&heads[i]);
  mem_free(heads);
  return status == RLX_OK ? status : status_at(status, "%s", path);
}
