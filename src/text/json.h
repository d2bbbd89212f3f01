/* text/json.h: JSON files from outside: bounded, and read with a type for each field. A field
 * that is absent or null has the value `missing`; one of another type is RLX_ERROR_FORMAT.
 * Statuses and option structs come with this header, for src/models, which takes nothing else
 * from inside the library. */
#ifndef TEXT_JSON_H
#define TEXT_JSON_H

#include <cjson/cJSON.h>

#include "base/options.h"

/* The file DIR/NAME, which must hold an object or an array. Where there is no such file, *out is
 * NULL and the status fine; but if `dir` is NULL, the file NAME must be there. cJSON_Delete. */
rlx_status json_load(const char *dir, const char *name, cJSON **out);

const cJSON *json_get(const cJSON *object, const char *key); /* NULL: absent or null */
/* The value itself, of `key` for messages. */
rlx_status json_as_int(const cJSON *value, const char *key, int64_t least, int64_t most,
                       int64_t *out);
rlx_status json_int(const cJSON *object, const char *key, int64_t least, int64_t most,
                    int64_t missing, int64_t *out);
rlx_status json_real(const cJSON *object, const char *key, double missing, double *out);
rlx_status json_flag(const cJSON *object, const char *key, bool missing, bool *out);
rlx_status json_text(const cJSON *object, const char *key, const char *missing, const char **out);
/* The text under "type" is `want`, else RLX_ERROR_UNSUPPORTED, where `what` names the object. */
rlx_status json_type(const cJSON *object, const char *what, const char *want);
bool json_has_type(const cJSON *object, const char *type);

#endif
