/* AVX-512 with VPOPCNTDQ and VNNI: Intel since Ice Lake (2019), AMD since Zen 4 (2022). */
#if defined(__x86_64__) && defined(__GNUC__)

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vpopcntdq,avx512vnni,avx2,fma" WHOLE_REGISTERS)))
#define NAME(x) x##_avx512
#define NAME_TEXT "avx512"

#include "avx512.h"

#include "../template.h"

#endif
