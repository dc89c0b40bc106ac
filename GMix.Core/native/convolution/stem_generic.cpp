// The first convolution with the instructions that every processor of the family has.
#define GMX_TABLE generic
#include "stem_kernels.inl"
