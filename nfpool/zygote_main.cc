// mayfly-zygote IMAGE NAME: started by the keeper only (zygote_protocol.h says with what).
#include <stdio.h>

#include "nfpool/zygote.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "mayfly-zygote is started by `mayfly run`, not by hand\n");
    return 2;
  }
  return mayfly::Zygote::main(argv[1], argv[2]);
}
