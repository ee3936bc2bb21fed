#include "server/app/server.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <iostream>
#include <iterator>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "common/base/files.h"
#include "common/base/version.h"
#include "common/command_line/command_line.h"
#include "common/crypto/certificate.h"
#include "common/crypto/signing.h"
#include "common/net/http_server.h"
#include "common/net/run_blocking.h"
#include "server/api/access_api.h"
#include "server/api/agents_api.h"
#include "server/api/dashboard_api.h"
#include "server/api/delivery_api.h"
#include "server/api/edge_api.h"
#include "server/api/enrolment_api.h"
#include "server/api/identity_access.h"
#include "server/api/kept_answers.h"
#include "server/api/metrics_api.h"
#include "server/api/operations_api.h"
#include "server/api/operators_api.h"
#include "server/api/ownership_api.h"
#include "server/api/privacy_api.h"
#include "server/api/privacy_pages.h"
#include "server/api/reports_api.h"
#include "server/api/rounds_api.h"
#include "server/api/stream_places.h"
#include "server/app/observer.h"
#include "server/app/outgoing.h"
#include "server/app/published_models.h"
#include "server/delivery/bundle_cache.h"
#include "server/delivery/model_key.h"
#include "server/detectors/calibrations.h"
#include "server/identity/issuer.h"
#include "server/store/sqlite_store.h"

namespace tacit::app {
namespace {

constexpr std::size_t kMaxPemBytes = 64 * 1024;
constexpr std::size_t kEnrolmentConnectionsPerSource = 32;
// To accountants, that wait while one is answered; who asks another is told to come back.
constexpr std::size_t kMostQuestions = 8;
// Of bundles to be made or leases to be written, while one is.
constexpr std::size_t kMostBundlesWaiting = 1000;
// Of one device: an agent sends one in minutes, or two after it was away.
constexpr std::uint32_t kReportsPerMinute = 30;
// Beside one coroutine a connection: each task's few steps, the clock, and requests that outlive their connection.
constexpr std::size_t kBackgroundMargin = 10'000;

double InSeconds(WallTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

Result<crypto::CertificateAuthority> LoadAuthority(const ServerConfig& config) {
  TACIT_TRY(const Bytes certificate, ReadFile(config.pki.ca_certificate, kMaxPemBytes));
  TACIT_TRY(const Bytes key, ReadFile(config.pki.ca_key, kMaxPemBytes));
  auto authority = crypto::CertificateAuthority::Load(AsText(certificate), AsText(key));
  if (!authority) return Annotate(authority.error(), config.pki.ca_certificate.string());
  return authority;
}

std::function<void(const round::Story&)> TellOf(Outgoing& outgoing) {
  return [&outgoing](const round::Story& story) { outgoing.RoundEnded(story); };
}

// One for each listener: a session that one of them gave is good for that one only.
Result<std::shared_ptr<net::TlsServerContext>> MakeTls(const ServerConfig& config, net::ClientAuth client_auth,
                                                       net::SessionLimits sessions = {}) {
  const bool checks_clients = client_auth != net::ClientAuth::kNone;
  return net::TlsServerContext::Create(
      {.certificate_chain_path = config.pki.certificate.string(),
       .private_key_path = config.pki.private_key.string(),
       .client_ca_path = checks_clients ? config.pki.ca_certificate.string() : std::string(),
       .client_auth = client_auth,
       .sessions = sessions});
}

identity::IssuerOptions IssuerOptionsOf(const OidcConfig& oidc, identity::ClaimPath role_claim) {
  using std::chrono::floor;
  using std::chrono::seconds;
  return {.source = {.issuer = oidc.issuer, .jwks_url = oidc.jwks_url},
          .rules = {.issuer = oidc.issuer,
                    .audience = oidc.audience,
                    .role_claim = std::move(role_claim),
                    .leeway = floor<seconds>(oidc.leeway),
                    .max_lifetime = floor<seconds>(oidc.max_lifetime)},
          .refresh = oidc.refresh,
          .keep = oidc.keep};
}

// Signals reach the main thread only, by a descriptor: no handler runs in the middle of anything.
class Signals {
 public:
  Signals() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGTERM);
    ::sigaddset(&set_, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    // A file that may not grow is a failed write, to be answered for; not a reason to die.
    ::signal(SIGXFSZ, SIG_IGN);
  }
  int Wait() {
    int signal = 0;
    while (::sigwait(&set_, &signal) != 0) {
    }
    return signal;
  }

 private:
  sigset_t set_{};
};

}  // namespace

ServerSeams ProductionSeams() {
  return {.noise_source = &coordinator::NoiseOfSecret, .after_store_step = {}};
}

struct Server::Parts {
  Parts(const ServerConfig& configuration, Logger& logger)
      : config(configuration), log(logger), observer(metrics, log) {}

  ServerConfig config;
  Logger& log;
  SystemClock clock;
  metrics::Metrics metrics;
  ConnectionObserver observer;
  std::unique_ptr<store::SqliteStore> store;
  std::unique_ptr<crypto::CertificateAuthority> ca;
  std::unique_ptr<crypto::SigningKey> model_key;
  std::unique_ptr<delivery::BundleCache> bundles;
  std::unique_ptr<detectors::Calibrations> calibrations;
  std::unique_ptr<api::UploadMemory> upload_memory;  // before all that may hold an update
  std::unique_ptr<net::IoThreads> io;
  std::unique_ptr<net::IoThreads> control;
  net::asio::any_io_executor on_control;
  std::unique_ptr<net::IoThreads> store_io;
  std::unique_ptr<net::ComputePool> compute;
  std::unique_ptr<net::ComputePool> figures;
  std::unique_ptr<net::ComputePool> bundling;
  std::unique_ptr<net::TaskGroup> background;
  std::unique_ptr<Outgoing> outgoing;
  std::unique_ptr<coordinator::StoreThread> store_thread;
  std::unique_ptr<coordinator::Coordinator> coordinator;
  std::unique_ptr<ServerModels> published;
  std::unique_ptr<RateLimiter> enrolment_rate;
  std::unique_ptr<RateLimiter> access_rate;
  std::unique_ptr<RateLimiter> report_rate;
  api::AccessTokens access_tokens;
  std::unique_ptr<identity::Issuer> issuer;
  std::unique_ptr<api::IdentityAccess> identity_access;
  api::KeptAnswers kept_answers{{}, clock};
  api::PrivacyPages privacy_pages;
  std::unique_ptr<api::StreamPlaces> stream_places;
  std::unique_ptr<api::Context> context;
  std::unique_ptr<net::HttpServer> agents;
  std::unique_ptr<net::HttpServer> enrolment;
  std::unique_ptr<net::HttpServer> operators;
  std::unique_ptr<net::HttpServer> metrics_listener;
  std::jthread issuer_thread;  // last: it ends before what it uses
  std::atomic<bool> ready = false;
  bool stopped = false;
  WallTime certificate_ends{};

  Result<void> Bind();
  Result<void> StartThreads(const ServerSeams& seams);
  Result<void> StartIssuer();
  void MakeContext();
  void Serve();
  Result<std::unique_ptr<net::HttpServer>> MakeListener(net::ListenerOptions options);
  void CloseConnections(const DeviceId& device);
  Result<void> ShowFacts();
  void SayReady() const;
};

// Every port is taken before anything is made that a start which fails would leave behind; who connects meanwhile
// waits.
Result<void> Server::Parts::Bind() {
  TACIT_TRY(io, net::IoThreads::Create(config.io_threads));
  // Running before the first listener is made, so that a later one that cannot bind ends the others at once.
  io->Start();
  const net::SessionLimits sessions{.lifetime = config.session_lifetime, .max_bytes = SessionMemory(config)};
  TACIT_TRY(const auto agents_tls, MakeTls(config, net::ClientAuth::kRequired, sessions));
  TACIT_TRY(const auto operators_tls, MakeTls(config, net::ClientAuth::kOptional));
  TACIT_TRY(const auto enrolment_tls, MakeTls(config, net::ClientAuth::kNone));
  std::shared_ptr<net::TlsServerContext> metrics_tls;
  if (config.metrics_need_certificate) {
    TACIT_TRY(metrics_tls, MakeTls(config, net::ClientAuth::kRequired));
  }
  TACIT_TRY(agents,
            MakeListener({.name = "agents",
                          .address = config.agents.address,
                          .port = config.agents.port,
                          .tls = agents_tls,
                          .max_connections = config.agents.max_connections,
                          .max_connections_per_source = config.agents.max_connections,
                          .failed_handshakes_per_minute_per_source = config.failed_handshakes_per_minute_per_source}));
  TACIT_TRY(enrolment, MakeListener({.name = "enrolment",
                                     .address = config.enrolment.listener.address,
                                     .port = config.enrolment.listener.port,
                                     .tls = enrolment_tls,
                                     .max_connections = config.enrolment.listener.max_connections,
                                     .max_connections_per_source = kEnrolmentConnectionsPerSource}));
  TACIT_TRY(operators, MakeListener({.name = "api",
                                     .address = config.api.address,
                                     .port = config.api.port,
                                     .tls = operators_tls,
                                     .max_connections = config.api.max_connections,
                                     .max_connections_per_source = config.api.max_connections}));
  TACIT_TRY(metrics_listener, MakeListener({.name = "metrics",
                                            .address = config.metrics.address,
                                            .port = config.metrics.port,
                                            .tls = metrics_tls,
                                            .max_connections = config.metrics.max_connections,
                                            .max_connections_per_source = config.metrics.max_connections}));
  return {};
}

Result<void> Server::Parts::StartThreads(const ServerSeams& seams) {
  TACIT_TRY(control, net::IoThreads::Create(1));
  on_control = control->shared_executor(0);
  TACIT_TRY(store_io, net::IoThreads::Create(1));
  compute = std::make_unique<net::ComputePool>(config.compute_threads, config.agents.max_connections);
  figures = std::make_unique<net::ComputePool>(1, kMostQuestions);
  bundling = std::make_unique<net::ComputePool>(1, kMostBundlesWaiting);
  store_thread = std::make_unique<coordinator::StoreThread>(store_io->executor(0), *store, metrics);
  background = std::make_unique<net::TaskGroup>(
      on_control, net::TaskGroupOptions{.max_tasks = config.agents.max_connections + kBackgroundMargin,
                                        .on_exception = [this](std::string_view what) {
                                          metrics.Exception("background");
                                          log.Error("background_exception", {{"what", what}});
                                        }});
  TACIT_TRY(outgoing, Outgoing::Create(config, metrics, log));
  coordinator = std::make_unique<coordinator::Coordinator>(
      coordinator::Services{.control = on_control,
                            .store = *store_thread,
                            .compute = *compute,
                            .background = *background,
                            .clock = clock,
                            .log = log,
                            .metrics = metrics,
                            .noise_source = seams.noise_source,
                            .long_poll = config.long_poll,
                            .upload_memory = config.limits.upload_memory,
                            .task_memory = config.limits.task_memory,
                            .max_parameters = config.limits.max_parameters,
                            .max_deployed_parameters = delivery::MostParameters(config.limits.bundle_memory),
                            .on_round_ended = TellOf(*outgoing)});
  store_io->Start();
  control->Start();
  TACIT_TRY_VOID(net::RunBlocking(on_control, coordinator->Start()));
  published = std::make_unique<ServerModels>(*coordinator, on_control);
  outgoing->Start(*published);
  return {};
}

// It is asked in the background: a server starts, and serves everybody else, also while its issuer does not.
Result<void> Server::Parts::StartIssuer() {
  if (!config.oidc) return {};
  const OidcConfig& oidc = *config.oidc;
  TACIT_TRY(identity::ClaimPath role_claim, identity::ParseClaimPath(oidc.role_claim));
  TACIT_TRY(identity::Fetch fetch, identity::MakeFetch(oidc.ca_file));
  issuer = std::make_unique<identity::Issuer>(IssuerOptionsOf(oidc, std::move(role_claim)), std::move(fetch), clock,
                                              log, metrics);
  identity_access = std::make_unique<api::IdentityAccess>(*issuer, oidc.roles);
  issuer_thread = std::jthread([this](const std::stop_token& stop) { issuer->Run(stop); });
  return {};
}

void Server::Parts::MakeContext() {
  upload_memory =
      std::make_unique<api::UploadMemory>(api::UploadMemory::Options{.limit = config.limits.upload_memory}, clock);
  enrolment_rate = std::make_unique<RateLimiter>(
      RateLimiter::Options{.per_minute = config.enrolment.requests_per_minute_per_source}, clock);
  access_rate = std::make_unique<RateLimiter>(
      RateLimiter::Options{.per_minute = config.failed_tokens_per_minute_per_source}, clock);
  report_rate = std::make_unique<RateLimiter>(RateLimiter::Options{.per_minute = kReportsPerMinute}, clock);
  stream_places = std::make_unique<api::StreamPlaces>(config.api.max_connections);
  context = std::make_unique<api::Context>(api::Context{
      .coordinator = *coordinator,
      .compute = *compute,
      .figures = *figures,
      .bundling = *bundling,
      .bundles = *bundles,
      .calibrations = *calibrations,
      .model_key = *model_key,
      .ca = *ca,
      .clock = clock,
      .log = log,
      .metrics = metrics,
      .upload_memory = *upload_memory,
      .enrolment_rate = *enrolment_rate,
      .access_rate = *access_rate,
      .report_rate = *report_rate,
      .access_tokens = access_tokens,
      .identity_access = identity_access.get(),
      .kept_answers = kept_answers,
      .privacy_pages = privacy_pages,
      .stream_places = *stream_places,
      .certificate_ends = certificate_ends,
      .trust_domain = config.trust_domain,
      .advertised_host = config.enrolment.advertised_host,
      .certificate_lifetime = std::chrono::duration_cast<std::chrono::seconds>(config.enrolment.certificate_lifetime),
      .max_update_bytes = config.limits.max_update_bytes,
      .agents_port = agents->port(),
      .enrolment_port = enrolment->port(),
      .metrics_need_certificate = config.metrics_need_certificate,
      .ready = [this] { return ready.load(); },
      .close_connections = [this](const DeviceId& device) { CloseConnections(device); }});
}

Result<std::unique_ptr<net::HttpServer>> Server::Parts::MakeListener(net::ListenerOptions options) {
  metrics.AddListener(
      {.name = options.name,
       .max_connections = options.max_connections,
       .refusals = net::kConnectionRefusals,
       .handshake_failures = options.tls ? std::span(net::kHandshakeFailures) : std::span<const std::string_view>{}});
  return net::HttpServer::Create(*io, std::move(options), observer);
}

void Server::Parts::Serve() {
  std::vector<api::Route> for_agents = api::AgentRoutes(*context);
  std::ranges::move(api::DeliveryRoutes(*context), std::back_inserter(for_agents));
  std::ranges::move(api::ReportRoutes(*context), std::back_inserter(for_agents));
  agents->Serve(api::MakeRouter(std::move(for_agents)));
  enrolment->Serve(api::MakeRouter(api::EnrolmentRoutes(*context)));
  std::vector<api::Route> for_people = api::DashboardRoutes();
  std::ranges::move(
      api::Guard(*context, {api::OperatorRoutes(), api::PrivacyRoutes(), api::RoundRoutes(), api::AccessRoutes(),
                            api::OperationsRoutes(), api::OwnershipRoutes(), api::EdgeRoutes()}),
      std::back_inserter(for_people));
  operators->Serve(api::MakeRouter(std::move(for_people)));
  metrics_listener->Serve(api::MakeRouter(api::MetricsRoutes(*context)));
  ready = true;
}

void Server::Parts::CloseConnections(const DeviceId& device) {
  const std::string uri = crypto::SpiffeId{config.trust_domain, "device", device.str()}.ToUri();
  agents->ClosePeers([uri](const net::PeerIdentity& peer) { return peer.spiffe_uri == uri; });
}

// What does not change as long as the process lives.
Result<void> Server::Parts::ShowFacts() {
  metrics.SetBuild(kVersion, InSeconds(clock.Now()));
  metrics.SetMemory(config.limits.memory_ceiling, WorstCaseMemory(config).total());
  for (const auto& [use, path] :
       {std::pair("ca", config.pki.ca_certificate), std::pair("server", config.pki.certificate)}) {
    TACIT_TRY(const Bytes pem, ReadFile(path, kMaxPemBytes));
    TACIT_TRY(const auto certificate, crypto::Certificate::FromPem(AsText(pem)));
    metrics.SetCertificateExpiry(use, InSeconds(certificate.NotAfter()));
    if (use == std::string_view("server")) certificate_ends = certificate.NotAfter();
  }
  return {};
}

void Server::Parts::SayReady() const {
  log.Info("server_ready", {{"version", kVersion},
                            {"agents_port", agents->port()},
                            {"enrolment_port", enrolment->port()},
                            {"api_port", operators->port()},
                            {"metrics_port", metrics_listener->port()},
                            {"data_dir", config.data_dir.string()}});
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() {
  Stop(Millis(0));
}

Result<std::unique_ptr<Server>> Server::Start(const ServerConfig& config, const ServerSeams& seams, Logger& log) {
  auto parts = std::make_unique<Parts>(config, log);
  Parts& made = *parts;
  // From here on the destructor undoes whatever was done.
  std::unique_ptr<Server> server(new Server(std::move(parts)));
  TACIT_TRY_VOID(MakeRoomForFiles(config));
  TACIT_TRY_VOID(made.ShowFacts());
  TACIT_TRY(auto authority, LoadAuthority(config));
  made.ca = std::make_unique<crypto::CertificateAuthority>(std::move(authority));
  TACIT_TRY(auto model_key, delivery::ReadOrMakeModelKey(config.pki.model_key));
  made.model_key = std::make_unique<crypto::SigningKey>(std::move(model_key));
  made.bundles = std::make_unique<delivery::BundleCache>(config.limits.bundle_memory);
  made.calibrations = std::make_unique<detectors::Calibrations>(config.data_dir / "clean_rows", made.clock, made.log);
  TACIT_TRY_VOID(made.Bind());
  TACIT_TRY(made.store, store::SqliteStore::Open({.data_dir = config.data_dir, .after_step = seams.after_store_step}));
  TACIT_TRY(const auto access_tokens, made.store->AccessTokens());
  made.access_tokens.Load(access_tokens, made.clock.Now());
  TACIT_TRY_VOID(made.StartThreads(seams));
  TACIT_TRY_VOID(made.StartIssuer());
  made.MakeContext();
  made.Serve();
  made.SayReady();
  return server;
}

void Server::Stop(Millis grace) {
  Parts& parts = *parts_;
  if (std::exchange(parts.stopped, true)) return;
  parts.ready = false;
  const SteadyTime deadline = parts.clock.SteadyNow() + grace;
  const auto listeners = {parts.agents.get(), parts.enrolment.get(), parts.operators.get(),
                          parts.metrics_listener.get()};
  for (net::HttpServer* listener : listeners) {
    if (listener != nullptr) listener->StopAccepting();
  }
  parts.issuer_thread.request_stop();
  if (parts.coordinator != nullptr && parts.control != nullptr) {
    net::RunBlocking(parts.on_control, parts.coordinator->Stop());
  }
  // No round ends any more; the pusher still asks the coordinator.
  if (parts.outgoing != nullptr) parts.outgoing->Stop(grace);
  for (net::HttpServer* listener : listeners) {
    if (listener != nullptr) listener->Drain(deadline);
  }
  if (parts.background != nullptr) net::RunBlocking(parts.on_control, parts.background->JoinAll());
  if (parts.compute != nullptr) parts.compute->Stop();
  if (parts.figures != nullptr) parts.figures->Stop();
  if (parts.bundling != nullptr) parts.bundling->Stop();
  net::IoThreads::StopAndJoin({parts.io.get(), parts.control.get(), parts.store_io.get()});
}

int RunServer(int argc, char** argv, const ServerSeams& seams) {
  CLI::App app("tacitd " + std::string(kVersion) + ": federated aggregation with differential privacy", "tacitd");
  std::string config_path;
  std::string check_path;
  bool show_version = false;
  auto* config_option = app.add_option("--config", config_path, "Run with this configuration file")->type_name("FILE");
  app.add_option("--check-config", check_path,
                 "Check a configuration file and the files it names, and exit: 0 good, 2 not")
      ->type_name("FILE")
      ->excludes(config_option);
  app.add_flag("--version", show_version, "Show the version and exit");
  app.footer("Exit codes: 0 stopped cleanly, 1 could not run, 2 bad command line or configuration.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::cerr << "tacitd: " << command_line::Describe(error, app) << "\nRun with --help for more information.\n";
    return 2;
  }
  if (show_version) {
    std::cout << "tacitd " << kVersion << "\n";
    return 0;
  }
  const std::string& path = check_path.empty() ? config_path : check_path;
  if (path.empty()) {
    std::cerr << "tacitd: --config FILE is needed; 'tacit init --dir DIR' makes one\n";
    return 2;
  }
  const SystemClock clock;
  const auto config = LoadConfig(path, clock.Now());
  if (!config) {
    std::cerr << config.error().message << "\n";
    return 2;
  }
  if (!check_path.empty()) {
    std::cout << path << ": good\n";
    return 0;
  }
  Signals signals;
  Logger log(STDERR_FILENO, clock, config->log_level);
  auto server = Server::Start(*config, seams, log);
  if (!server) {
    log.Error("server_cannot_run", {{"code", TraitsOf(server.error().code).name}, {"reason", server.error().message}});
    return 1;
  }
  const int signal = signals.Wait();
  log.Info("server_stopping", {{"signal", signal}});
  (*server)->Stop(config->shutdown_grace);
  log.Info("server_stopped");
  return 0;
}

}  // namespace tacit::app
