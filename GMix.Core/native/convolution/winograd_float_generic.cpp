// Winograd's algorithm in float32 with the instructions that every processor of the family has.
#include "winograd_float.h"
#define GMX_TABLE generic
#define GMX_LANES 4
#define GMX_REGISTERS 2
#include "winograd_float.inl"
