#include "server/app/server.h"

int main(int argc, char** argv) {
  return tacit::app::RunServer(argc, argv, tacit::app::ProductionSeams());
}
