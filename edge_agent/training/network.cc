#include "edge_agent/training/network.h"

#include "edge_agent/training/network_body.h"

namespace tacit::training {

template class Network<float>;

}  // namespace tacit::training
