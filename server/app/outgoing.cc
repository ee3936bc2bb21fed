#include "server/app/outgoing.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/base/version.h"
#include "server/telemetry/headers_file.h"

namespace tacit::app {
namespace {

constexpr Millis kMostGrace{2'000};

web::WebOptions WebOptionsOf(const OutgoingConfig& config) {
  return {.ca_file = config.ca_file,
          .user_agent = "tacitd/" + std::string(kVersion),
          .limits = {},
          .plain_http = config.may_be_plain ? web::PlainHttp::kAllowed : web::PlainHttp::kToThisMachine};
}

Result<std::vector<web::WebHeader>> HeadersOf(const OutgoingConfig& config) {
  if (config.headers_file.empty()) return std::vector<web::WebHeader>{};
  return telemetry::ReadHeadersFile(config.headers_file);
}

}  // namespace

Result<std::unique_ptr<Outgoing>> Outgoing::Create(const ServerConfig& config, metrics::Metrics& metrics, Logger& log) {
  auto outgoing = std::make_unique<Outgoing>();
  if (const auto& traces = config.traces) {
    telemetry::TraceSenderOptions options;
    options.endpoint = traces->url;
    options.web = WebOptionsOf(*traces);
    TACIT_TRY(options.headers, HeadersOf(*traces));
    TACIT_TRY(outgoing->traces_, telemetry::TraceSender::Create(std::move(options), metrics, log));
  }
  if (const auto& mlflow = config.mlflow) {
    telemetry::ModelPusherOptions options;
    options.tracking_uri = mlflow->server.url;
    options.web = WebOptionsOf(mlflow->server);
    options.name_prefix = mlflow->name_prefix;
    if (!mlflow->takes_artifacts) options.artifacts = telemetry::ModelPusherOptions::Artifacts::kNone;
    TACIT_TRY(options.headers, HeadersOf(mlflow->server));
    TACIT_TRY(outgoing->models_, telemetry::ModelPusher::Create(std::move(options), metrics, log));
  }
  return outgoing;
}

void Outgoing::RoundEnded(const round::Story& story) {
  if (traces_) traces_->Offer(story);
  if (models_ && story.published) models_->Wake();
}

void Outgoing::Start(telemetry::PublishedModels& models) {
  if (models_) models_->Start(models);
}

void Outgoing::Stop(Millis grace) {
  if (models_) models_->Stop();
  if (traces_) traces_->Stop(std::min(grace, kMostGrace));
}

}  // namespace tacit::app
