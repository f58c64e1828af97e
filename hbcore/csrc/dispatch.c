/* Which kernels run: the widest that this CPU knows. */
#include "kernels.h"

#include <string.h>

#include "variants/tiles.h"

extern const hb_kernels hb_amx, hb_avx512, hb_avx2, hb_sse2, hb_neon;

const hb_kernels *hb_choose(const char *name)
{
    const hb_kernels *tables[5]; /* widest first */
    int count = 0;
#if defined(__x86_64__) && defined(__GNUC__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq")
        && __builtin_cpu_supports("avx512vnni");
#if HB_TILES
    if (avx512 && __builtin_cpu_supports("avx512vbmi") && hb_tiles())
        tables[count++] = &hb_amx;
#endif
    if (avx512)
        tables[count++] = &hb_avx512;
    if (avx2)
        tables[count++] = &hb_avx2;
    tables[count++] = &hb_sse2;
#elif defined(__aarch64__) && defined(__GNUC__)
    tables[count++] = &hb_neon;
#endif
    for (int i = 0; i < count; i++)
        if (name == NULL || strcmp(name, tables[i]->name) == 0)
            return tables[i];
    return NULL;
}
