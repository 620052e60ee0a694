#include "runtime/cli/cli.h"

int main(int argc, char** argv) { return mayfly::cli_main(argc, argv); }
