/* text/chars.c: utf8proc's data with the years taken off. tests/oracle/tokenizer.py goes through
 * all code points. */
#include "text/chars.h"

#include <utf8proc.h>

#define N(table) (sizeof(table) / sizeof *(table))

/* --- UTF-8 */

/* Bytes at the front of an invalid sequence that could have begun a valid one; at least 1. */
static size_t bad_length(const uint8_t *s, size_t n) {
  size_t wants = s[0] < 0xc2 || s[0] > 0xf4 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4, have = 1;
  uint8_t least = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
  uint8_t most = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
  while (have < wants && have < n && s[have] >= least && s[have] <= most) {
    have++;
    least = 0x80;
    most = 0xbf;
  }
  return have;
}

size_t utf8_next(const char *text, size_t n, uint32_t *out) {
  utf8proc_int32_t c;
  const uint8_t *s = (const uint8_t *)text;
  const ptrdiff_t most = n < 4 ? (ptrdiff_t)n : 4;
  const ptrdiff_t got = utf8proc_iterate(s, most, &c);
  *out = got > 0 ? (uint32_t)c : 0xfffd;
  return got > 0 ? (size_t)got : bad_length(s, n);
}

size_t utf8_put(uint32_t c, char out[4]) {
  return (size_t)utf8proc_encode_char((utf8proc_int32_t)c, (uint8_t *)out);
}

/* --- categories */

/* Where marks, punctuation, formats and decompositions have been added after Unicode 8.0. A range
 * spans others too, but none that had such a property by then. */
static const uint32_t newer[][2] = {
    {0x05c8, 0x05c9},   {0x061d, 0x061d},   {0x07fd, 0x07fd},   {0x0890, 0x08e2},
    {0x09fd, 0x09fe},   {0x0a76, 0x0a76},   {0x0afa, 0x0aff},   {0x0b53, 0x0b55},
    {0x0c04, 0x0c3c},   {0x0c77, 0x0c77},   {0x0c84, 0x0c84},   {0x0d00, 0x0d00},
    {0x0d3b, 0x0d3c},   {0x0d81, 0x0d81},   {0x0eba, 0x0eba},   {0x0ece, 0x0ece},
    {0x180f, 0x1886},   {0x1abf, 0x1af0},   {0x1b4e, 0x1b4f},   {0x1b7d, 0x1b7f},
    {0x1df6, 0x1dfb},   {0x2e43, 0x2e63},   {0xa82c, 0xa82c},   {0xa8c5, 0xa8c5},
    {0xa8ff, 0xa8ff},   {0xa9bd, 0xa9bd},   {0x105c9, 0x105e4}, {0x10d24, 0x10f89},
    {0x11070, 0x11074}, {0x110c2, 0x110cd}, {0x111cf, 0x111cf}, {0x1123e, 0x11241},
    {0x1133b, 0x1133b}, {0x11383, 0x1145e}, {0x11660, 0x1166c}, {0x116b9, 0x116b9},
    {0x1182f, 0x11fff}, {0x12ff1, 0x1612f}, {0x16d68, 0x16f4f}, {0x16fe2, 0x16fe4},
    {0x1cf00, 0x1d128}, {0x1d25b, 0x1d25c}, {0x1e000, 0x1e6f5}, {0x1e944, 0x1e95f},
};

/* Old characters that have another category today. */
static const struct {
  uint32_t c;
  utf8proc_category_t category;
} changed[] = {{0x166d, UTF8PROC_CATEGORY_PO},
               {0x1734, UTF8PROC_CATEGORY_MN},
               {0x111c9, UTF8PROC_CATEGORY_PO},
               {0x1171e, UTF8PROC_CATEGORY_MN}};

static bool is_newer(uint32_t c) {
  size_t low = 0, high = N(newer);
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (newer[middle][1] < c) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < N(newer) && newer[low][0] <= c;
}

/* By Unicode 8.0, where it is a mark, punctuation or format. */
static utf8proc_category_t category(uint32_t c) {
  for (size_t i = 0; i < N(changed); i++) {
    if (changed[i].c == c) return changed[i].category;
  }
  return is_newer(c) ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)c);
}

static bool in_categories(uint32_t c, uint32_t bits) { return bits >> category(c) & 1u; }
#define IN(name) (1u << UTF8PROC_CATEGORY_##name)

bool char_is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x85 || in_categories(c, IN(ZS) | IN(ZL) | IN(ZP));
}

bool char_is_control(uint32_t c) {
  const bool line = c == '\t' || c == '\n' || c == '\r';
  return !line && in_categories(c, IN(CC) | IN(CF) | IN(CO));
}

bool char_is_mark(uint32_t c) { return c >= 0x300 && in_categories(c, IN(MN)); }

bool char_is_punct(uint32_t c) {
  if (c < 0x80) return c > ' ' && c < 0x7f && !in_categories(c, IN(LU) | IN(LL) | IN(ND));
  return in_categories(c, IN(PC) | IN(PD) | IN(PS) | IN(PE) | IN(PI) | IN(PF) | IN(PO));
}

bool char_is_word(uint32_t c) {
  return in_categories(c, IN(LU) | IN(LL) | IN(LT) | IN(LM) | IN(LO) | IN(MN) | IN(MC) | IN(ME) |
                              IN(ND) | IN(NL) | IN(PC));
}

bool char_is_ideograph(uint32_t c) {
  /* 0x2b920 is the reference's; Unicode's block begins at 0x2b820. */
  static const uint32_t blocks[][2] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                                       {0x20000, 0x2a6df}, {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf},
                                       {0x2f800, 0x2fa1f}};
  for (size_t i = 0; i < N(blocks); i++) {
    if (c >= blocks[i][0] && c <= blocks[i][1]) return true;
  }
  return false;
}

/* --- mappings */

size_t char_decompose(uint32_t c, uint32_t out[CHAR_PARTS]) {
  utf8proc_int32_t parts[CHAR_PARTS];
  int last_class = 0;
  ptrdiff_t n = 0;
  if (c >= 0xc0 && !is_newer(c)) {
    n = utf8proc_decompose_char((utf8proc_int32_t)c, parts, CHAR_PARTS, UTF8PROC_DECOMPOSE,
                                &last_class);
  }
  if (n < 1 || n > CHAR_PARTS) {
    out[0] = c;
    return 1;
  }
  for (ptrdiff_t i = 0; i < n; i++) out[i] = (uint32_t)parts[i];
  return (size_t)n;
}

size_t char_lower(uint32_t c, uint32_t out[CHAR_PARTS]) {
  /* Capitals of Unicode 16 and 17, which older copies of utf8proc lack. */
  static const struct {
    uint32_t first, last;
    int32_t distance;
  } late[] = {{0x1c89, 0x1c89, 1},       {0xa7cb, 0xa7cb, -42343}, {0xa7cc, 0xa7cc, 1},
              {0xa7ce, 0xa7ce, 1},       {0xa7d2, 0xa7d2, 1},      {0xa7d4, 0xa7d4, 1},
              {0xa7da, 0xa7da, 1},       {0xa7dc, 0xa7dc, -42561}, {0x10d50, 0x10d65, 32},
              {0x16ea0, 0x16eb8, 27}};
  if (c == 0x130) { /* the only letter whose lower case is two code points */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
  for (size_t i = 0; i < N(late); i++) {
    if (c >= late[i].first && c <= late[i].last) out[0] = c + (uint32_t)late[i].distance;
  }
  return 1;
}
