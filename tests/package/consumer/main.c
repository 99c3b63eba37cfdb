// SPDX-License-Identifier: Apache-2.0
#include <attune/attune.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  attune_recommender* recommender = NULL;
  const char* level = NULL;
  if (attune_abi_version() != ATTUNE_ABI_VERSION) return 1;
  if (attune_simd_level(&level) != ATTUNE_OK) return 2;
  if (attune_open("no such model", NULL, &recommender) != ATTUNE_IO_ERROR) return 3;
  if (strstr(attune_last_error(), "no such model") == NULL) return 4;
  printf("attune %s, %s\n", attune_version(), level);
  return 0;
}
