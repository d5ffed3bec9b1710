/* The bounds of limits.def as constants: NSP_LIMIT_<NAME>, in the unit that the table gives. */
#ifndef NSP_LIMITS_H
#define NSP_LIMITS_H

enum nsp_limit {
#define X(name, value, unit, meaning) NSP_LIMIT_##name = value,
#include "protocol/limits.def"
#undef X
};

#endif
