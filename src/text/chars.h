/* text/chars.h: code points as the reference BERT tokenizer (the `tokenizers` package) sees
 * them: its categories are those of Unicode 8.0, its decompositions of 9.0, its lower case is of
 * today. The data is utf8proc's; what Unicode has added since stands in tables in chars.c.
 *
 * Known difference: marks that stay in the text (spacing ones, and those newer than 8.0) are not
 * sorted by combining class after a decomposition. */
#ifndef TEXT_CHARS_H
#define TEXT_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at `text` (n > 0 bytes) and its length. Bytes that are no UTF-8 are U+FFFD, one
 * for each maximal start of a sequence, as Python's errors="replace" has it. */
size_t utf8_next(const char *text, size_t n, uint32_t *out);
size_t utf8_put(uint32_t c, char out[4]);

bool char_is_space(uint32_t c);
bool char_is_control(uint32_t c); /* controls, formats, private use; not tab and line ends */
bool char_is_mark(uint32_t c);    /* nonspacing: an accent */
bool char_is_punct(uint32_t c);   /* ASCII symbols too */
bool char_is_ideograph(uint32_t c);
bool char_is_word(uint32_t c); /* letters, marks, digits and connectors */

#define CHAR_PARTS 8
/* Canonical decomposition; the number of parts, 1 for most. */
size_t char_decompose(uint32_t c, uint32_t out[CHAR_PARTS]);
size_t char_lower(uint32_t c, uint32_t out[CHAR_PARTS]);

#endif
