// postnas-workbench: opens the main window on a project or a checkpoint.
#include "app/workbench/application.h"

int main(int argc, char** argv) { return postnas::runWorkbench(argc, argv, POSTNAS_VERSION); }
