//! The least that a window with a webview can be: what the app's first paint is measured against. Prints the line that the app
//! prints with `CUBBY_PRINT_PAINT=1`, measured in the page in the same way, and stays until it is killed.

#[cfg(target_os = "linux")]
fn main() {
    use gtk::prelude::*;
    use std::time::{SystemTime, UNIX_EPOCH};
    use webkit2gtk::{WebView, WebViewExt};

    let started_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1000.0);
    gtk::init().expect("a display is there");
    let window = gtk::Window::new(gtk::WindowType::Toplevel);
    window.set_default_size(1180, 780);
    let view = WebView::new();
    view.connect_title_notify(move |view| {
        let painted = view.title().and_then(|title| title.parse::<f64>().ok());
        if let Some(painted_ms) = painted {
            println!("{{\"first_paint_ms\":{}}}", (painted_ms - started_ms).round());
        }
    });
    let page = "<!doctype html><p>.</p><script>requestAnimationFrame(() => requestAnimationFrame(() => { \
                const paint = performance.getEntriesByName('first-contentful-paint')[0]; \
                document.title = performance.timeOrigin + (paint?.startTime ?? performance.now()); }))</script>";
    view.load_html(page, None);
    window.add(&view);
    window.show_all();
    gtk::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("there is no such window to compare with on this system yet");
}
