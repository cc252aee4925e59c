import { lazy, Suspense } from "react";
import { Redirect, Route, Router, Switch } from "wouter";
import { useSession } from "./api/use-session.ts";
import { FlowProvider } from "./flow/use-flow.tsx";
import { FlowPage } from "./pages/flow/flow-page.tsx";
import { LoginPage } from "./pages/login-page.tsx";
import { Empty, Problem, Skeleton } from "./parts/notice.tsx";
import { Shell } from "./shell.tsx";

// The first page comes at once, the others when they are asked for.
const DevicesPage = lazy(() =>
  import("./pages/devices/devices-page.tsx").then((m) => ({ default: m.DevicesPage })),
);
const NewDevicePage = lazy(() =>
  import("./pages/devices/new-device-page.tsx").then((m) => ({ default: m.NewDevicePage })),
);
const DevicePage = lazy(() =>
  import("./pages/devices/device-page.tsx").then((m) => ({ default: m.DevicePage })),
);
const ExplorePage = lazy(() =>
  import("./pages/explore/explore-page.tsx").then((m) => ({ default: m.ExplorePage })),
);
const StreamsPage = lazy(() =>
  import("./pages/streams/streams-page.tsx").then((m) => ({ default: m.StreamsPage })),
);
const JobsPage = lazy(() => import("./pages/jobs/jobs-page.tsx").then((m) => ({ default: m.JobsPage })));
const AlertsPage = lazy(() =>
  import("./pages/alerts/alerts-page.tsx").then((m) => ({ default: m.AlertsPage })),
);
const SettingsPage = lazy(() =>
  import("./pages/settings/settings-page.tsx").then((m) => ({ default: m.SettingsPage })),
);

/** Everything: the login, or the pages for whoever is logged in. */
export function App() {
  const { session, error } = useSession();
  if (session === null) return <LoginPage />;
  if (session === undefined) {
    return (
      <main className="login">
        {error ? <Problem error={error} retry={() => location.reload()} /> : <Skeleton />}
      </main>
    );
  }
  return (
    <Router base="/console">
      <FlowProvider>
        <Shell session={session}>
          <Suspense fallback={<Skeleton rows={6} />}>
            <Switch>
              <Route path="/" component={FlowPage} />
              <Route path="/devices" component={DevicesPage} />
              <Route path="/devices/new" component={NewDevicePage} />
              <Route path="/devices/:id">
                {({ id }) => <DevicePage key={id} id={decodeURIComponent(id)} />}
              </Route>
              <Route path="/explore" component={ExplorePage} />
              <Route path="/streams" component={StreamsPage} />
              <Route path="/jobs" component={JobsPage} />
              <Route path="/alerts" component={AlertsPage} />
              <Route path="/settings" component={SettingsPage} />
              <Route path="/flow">
                <Redirect to="/" />
              </Route>
              <Route>
                <Empty title="There is no such page">Choose one from the menu.</Empty>
              </Route>
            </Switch>
          </Suspense>
        </Shell>
      </FlowProvider>
    </Router>
  );
}
